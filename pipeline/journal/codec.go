package journal

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// The binary encoding of an entry: a version, the kind, the time in Unix nanoseconds, and the fields, each text with
// its length before it. Numbers are unsigned varints (encoding/binary). The data is the rest, without a length.
const codecVersion = 2

var errCodec = errors.New("not an entry of the journal")

// AppendEntry appends the binary encoding of an entry to b.
func AppendEntry(b []byte, e *Entry) []byte {
	b = append(b, codecVersion, byte(e.Kind))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Time.UnixNano()))
	b = binary.AppendUvarint(b, e.Repeat)
	b = binary.AppendUvarint(b, e.Ref)
	b = binary.AppendUvarint(b, e.Batch)
	for _, text := range [...]string{e.Account, e.ID, e.Provider, string(e.Origin), e.Type, e.Sink, e.EventID, e.Baseline, string(e.Was)} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return append(b, e.Data...)
}

// ParseEntry decodes an entry that [AppendEntry] has encoded. The entry's data shares memory with b.
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
	e.Repeat, e.Ref, e.Batch = number(), number(), number()
	head := b
	var from, to [9]int // of each text in head
	for i := range from {
		n := number()
		if err != nil || n > uint64(len(b)) {
			return Entry{}, errCodec
		}
		from[i] = len(head) - len(b)
		b = b[n:]
		to[i] = len(head) - len(b)
	}
	texts := string(head[:to[8]]) // one allocation for all
	text := func(i int) string { return texts[from[i]:to[i]] }
	e.Account, e.ID, e.Provider, e.Origin = text(0), text(1), text(2), pipeline.Origin(text(3))
	e.Type, e.Sink, e.EventID, e.Baseline = text(4), text(5), text(6), text(7)
	e.Was = pipeline.Origin(text(8))
	e.Data = b
	return e, nil
}

// EntryTime decodes only the time of an encoded entry. It is zero if b is not one.
func EntryTime(b []byte) time.Time {
	if len(b) < 10 || b[0] != codecVersion {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b[2:]))).UTC() //nolint:gosec // as it was written
}

// maxEntry bounds an entry in any engine. A socket frame of 1 MiB must fit, which grows when its text is escaped as
// JSON.
const maxEntry = 8 << 20

// EntrySize returns an upper bound of the size of an encoded entry.
func EntrySize(e *Entry) int {
	n := len(e.Account) + len(e.ID) + len(e.Provider) + len(e.Origin) + len(e.Type) + len(e.Sink) + len(e.EventID) + len(e.Baseline) + len(e.Was) + len(e.Data)
	return min(n, math.MaxInt32) + 10 + 12*binary.MaxVarintLen64
}
