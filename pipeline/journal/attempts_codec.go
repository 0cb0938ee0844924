package journal

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

// The data of an entry of the kind AttemptLines: a version, a table of the sinks with the number of the entry that holds the newest attempts
// of each before this one, and the lines, compressed as an S2 block. In the table a number follows each name, which has its length before it.
const attemptVersion = 1

var errAttemptLines = errors.New("not an entry of the log of attempts")

// maxAttemptLines bounds what is decompressed.
const maxAttemptLines = 8 << 20

// encodeAttempts appends the data of an entry to b.
func encodeAttempts(b []byte, newest map[string]uint64, lines []byte) []byte {
	b = append(b, attemptVersion)
	b = binary.AppendUvarint(b, uint64(len(newest)))
	for _, sink := range slices.Sorted(maps.Keys(newest)) {
		b = binary.AppendUvarint(b, uint64(len(sink)))
		b = append(b, sink...)
		b = binary.AppendUvarint(b, newest[sink])
	}
	b = slices.Grow(b, s2.MaxEncodedLen(len(lines)))
	block := s2.Encode(b[len(b):cap(b)], lines) // into the room behind b
	return append(b, block...)
}

// decodeAttempts reads what encodeAttempts has made.
func decodeAttempts(b []byte) (newest map[string]uint64, lines []byte, err error) {
	if len(b) == 0 || b[0] != attemptVersion {
		return nil, nil, errAttemptLines
	}
	b = b[1:]
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = errAttemptLines
			return 0
		}
		b = b[size:]
		return n
	}
	newest = make(map[string]uint64)
	for left := number(); left > 0 && err == nil; left-- {
		size := number()
		if err != nil || size > uint64(len(b)) {
			return nil, nil, errAttemptLines
		}
		sink := string(b[:size])
		b = b[size:]
		newest[sink] = number()
	}
	if err != nil {
		return nil, nil, err
	}
	if size, err := s2.DecodedLen(b); err != nil || size > maxAttemptLines {
		return nil, nil, errAttemptLines
	}
	if lines, err = s2.Decode(nil, b); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errAttemptLines, err)
	}
	return newest, lines, nil
}

// appendAttempt appends the line of an attempt: the same JSON as encoding/json makes of it.
func appendAttempt(b []byte, a *pipeline.Attempt) []byte {
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
				quoted = []byte(`""`) // a text has no error
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// attemptsIn calls visit with each attempt in lines that wanted says may be one to read.
func attemptsIn(lines []byte, wanted func(line []byte) bool, visit func(pipeline.Attempt) bool) error {
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
