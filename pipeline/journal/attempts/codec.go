package attempts

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/treatrelay/relay/pipeline"
)

// The data of a [journal.AttemptLines] entry: the version, a table and the lines, compressed as an S2 block. The table maps
// each sink to the number of the previous entry with attempts of it. It is a count, then for each sink the length of its
// name, the name and the number; all numbers are unsigned varints.
const formatVersion = 1

var errFormat = errors.New("not an entry of the log of attempts")

// maxDecoded bounds the size of the decompressed lines.
const maxDecoded = 8 << 20

// encode appends the data of an entry to b.
func encode(b []byte, newest map[string]uint64, lines []byte) []byte {
	b = append(b, formatVersion)
	b = binary.AppendUvarint(b, uint64(len(newest)))
	for _, sink := range slices.Sorted(maps.Keys(newest)) {
		b = binary.AppendUvarint(b, uint64(len(sink)))
		b = append(b, sink...)
		b = binary.AppendUvarint(b, newest[sink])
	}
	b = slices.Grow(b, s2.MaxEncodedLen(len(lines)))
	block := s2.Encode(b[len(b):cap(b)], lines) // into the spare capacity of b
	return append(b, block...)
}

// decode is the inverse of encode.
func decode(b []byte) (newest map[string]uint64, lines []byte, err error) {
	if len(b) == 0 || b[0] != formatVersion {
		return nil, nil, errFormat
	}
	b = b[1:]
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = errFormat
			return 0
		}
		b = b[size:]
		return n
	}
	newest = make(map[string]uint64)
	for left := number(); left > 0 && err == nil; left-- {
		size := number()
		if err != nil || size > uint64(len(b)) {
			return nil, nil, errFormat
		}
		sink := string(b[:size])
		b = b[size:]
		newest[sink] = number()
	}
	if err != nil {
		return nil, nil, err
	}
	if size, err := s2.DecodedLen(b); err != nil || size > maxDecoded {
		return nil, nil, errFormat
	}
	if lines, err = s2.Decode(nil, b); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errFormat, err)
	}
	return newest, lines, nil
}

// appendLine appends the line of an attempt, the same JSON that encoding/json makes.
func appendLine(b []byte, a *pipeline.Attempt) []byte {
	b = append(b, `{"time":"`...)
	b = a.Time.AppendFormat(b, time.RFC3339Nano)
	b = appendText(append(b, `","sink":`...), a.Sink)
	if len(a.Events) > 0 {
		b = append(b, `,"events":[`...)
		for i, id := range a.Events {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, id)
		}
		b = append(b, ']')
	}
	if a.Account != "" {
		b = appendText(append(b, `,"account":`...), a.Account)
	}
	if a.Endpoint != "" {
		b = appendText(append(b, `,"endpoint":`...), a.Endpoint)
	}
	if a.Status != 0 {
		b = strconv.AppendInt(append(b, `,"status":`...), int64(a.Status), 10)
	}
	b = strconv.AppendInt(append(b, `,"latency":`...), int64(a.Latency), 10)
	if a.Answer != "" {
		b = appendText(append(b, `,"answer":`...), a.Answer)
	}
	if a.Error != "" {
		b = appendText(append(b, `,"error":`...), a.Error)
	}
	return append(b, '}', '\n')
}

// appendText appends a JSON string.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := pipeline.EncodeJSON(text)
			if err != nil {
				quoted = []byte(`""`) // encoding a string never fails
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// eachAttempt calls visit with each attempt of lines until visit returns false. It skips lines that wanted rejects without
// decoding them.
func eachAttempt(lines []byte, wanted func(line []byte) bool, visit func(pipeline.Attempt) bool) error {
	for line := range bytes.Lines(lines) {
		if !wanted(line) {
			continue
		}
		var a pipeline.Attempt
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		if !visit(a) {
			return nil
		}
	}
	return nil
}
