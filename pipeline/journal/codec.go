package journal

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// The binary form of an entry: a version, the kind, the time in Unix nanoseconds, and then the fields, each text with its length before it.
// Numbers are unsigned varints (encoding/binary). The data comes last and has no length: it takes the rest.
const codecVersion = 1

var errCodec = errors.New("not an entry of the journal")

// AppendEntry appends the binary form of an entry to b.
func AppendEntry(b []byte, e *Entry) []byte {
	b = append(b, codecVersion, byte(e.Kind))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Time.UnixNano())) //nolint:gosec // read back the same way
	b = binary.AppendUvarint(b, e.Repeat)
	b = binary.AppendUvarint(b, e.Ref)
	for _, text := range [...]string{e.Account, e.ID, e.Provider, string(e.Origin), e.Type, e.Sink, e.EventID, e.Baseline} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return append(b, e.Data...)
}

// ParseEntry reads what [AppendEntry] has written. The entry's data is part of b.
func ParseEntry(b []byte) (e Entry, err error) {
	if len(b) < 10 || b[0] != codecVersion {
		return e, errCodec
	}
	e.Kind = Kind(b[1])
	e.Time = time.Unix(0, int64(binary.LittleEndian.Uint64(b[2:]))).UTC() //nolint:gosec // as it was written
	b = b[10:]
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = errCodec
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if err != nil || n > uint64(len(b)) {
			err = errCodec
			return ""
		}
		s := b[:n]
		b = b[n:]
		return intern(s)
	}
	e.Repeat, e.Ref = number(), number()
	e.Account, e.ID, e.Provider = text(), text(), text()
	e.Origin, e.Type, e.Sink, e.EventID, e.Baseline = pipeline.Origin(text()), text(), text(), text(), text()
	if err != nil {
		return Entry{}, err
	}
	e.Data = b
	return e, nil
}

// EntryTime reads only the time of what [AppendEntry] has written. It is zero if b is too short.
func EntryTime(b []byte) time.Time {
	if len(b) < 10 || b[0] != codecVersion {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b[2:]))).UTC() //nolint:gosec // as it was written
}

// intern saves the copy of the texts that nearly every entry has.
func intern(b []byte) string {
	switch string(b) {
	case "":
		return ""
	case "treatstream":
		return "treatstream"
	case string(pipeline.OriginLive):
		return string(pipeline.OriginLive)
	}
	return string(b)
}

// maxEntry bounds an entry in any engine: a socket frame of 1 MiB grows when its text is escaped as JSON, and must still fit.
const maxEntry = 8 << 20

// EntrySize is an upper bound of the size of an entry's binary form.
func EntrySize(e *Entry) int {
	n := len(e.Account) + len(e.ID) + len(e.Provider) + len(e.Origin) + len(e.Type) + len(e.Sink) + len(e.EventID) + len(e.Baseline) + len(e.Data)
	return min(n, math.MaxInt32) + 10 + 10*binary.MaxVarintLen64
}
