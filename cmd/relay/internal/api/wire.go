package api

import (
	"encoding/binary"
	"errors"

	"github.com/treatrelay/relay/pipeline/journal"
)

// What commands read and write of the journal goes over the socket as it is in the engine: a record is its length in 4 bytes, its
// number in 8, little-endian, and its binary form (journal.AppendEntry). An entry to append has no number.
const (
	PathLog   = "/v1/log"
	PathGaps  = "/v1/log/gaps"
	PathState = "/v1/state"

	HeaderFirst    = "Relay-First" // the bounds of the log
	HeaderNext     = "Relay-Next"
	HeaderRevision = "Relay-Revision" // of a value of the state

	MediaEntries = "application/octet-stream"
)

// What else a relay that runs is asked.
const (
	PathStatus    = "/v1/status"
	PathReconcile = "/v1/reconcile"
)

// MaxRequest bounds one request, in bytes.
const MaxRequest = 64 << 20

// ErrBadEntries says that a request holds no entries of the journal.
var ErrBadEntries = errors.New("these are not entries of the journal")

// AppendFrame appends an entry, and its number if it has one, in the form in which they go over the control socket.
func AppendFrame(b []byte, number uint64, e *journal.Entry) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = journal.AppendEntry(b, e)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // bounded by the size of an entry
	return b
}

// ParseFrames reads what [AppendFrame] has written.
func ParseFrames(b []byte) (records []journal.Record, err error) {
	for len(b) > 0 {
		if len(b) < 12 {
			return nil, ErrBadEntries
		}
		size := int(binary.LittleEndian.Uint32(b))
		if size < 8 || size > len(b)-4 {
			return nil, ErrBadEntries
		}
		r := journal.Record{Number: binary.LittleEndian.Uint64(b[4:])}
		if r.Entry, err = journal.ParseEntry(b[12 : 4+size : 4+size]); err != nil {
			return nil, errors.Join(ErrBadEntries, err)
		}
		records, b = append(records, r), b[4+size:]
	}
	return records, nil
}

// StateItem is a key of the state with its value.
type StateItem struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}
