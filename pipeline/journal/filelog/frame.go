package filelog

import (
	"encoding/binary"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// A frame is: CRC32C of all that follows (4 bytes), length of the body and flags (4), number (8), body. All numbers are little endian.
const (
	frameHeader = 16
	// maxBody bounds the encoded entry.
	maxBody = 8 << 20

	lengthBits  = 1<<24 - 1
	flagSynced  = 1 << 31 // all frames before this one were synced when it was written
	flagControl = 1 << 30 // the body is no entry
)

// frame is what is read of one. The body is part of what it was read from.
type frame struct {
	number uint64
	flags  uint32
	body   []byte
}

// appendFrame appends the frame of an entry.
func appendFrame(b []byte, number uint64, flags uint32, e *journal.Entry) []byte {
	at := len(b)
	b = append(b, make([]byte, frameHeader)...)
	b = journal.AppendEntry(b, e)
	finishFrame(b[at:], number, flags)
	return b
}

// finishFrame writes the header of the frame that b is.
func finishFrame(b []byte, number uint64, flags uint32) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameHeader)|flags) //nolint:gosec // bounded by maxBody
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint32(b, disk.Checksum(b[4:]))
}

// frameSize returns how long the frame is that begins with b, which has at least frameHeader bytes. It is 0 if there can be none.
func frameSize(b []byte) int {
	word := binary.LittleEndian.Uint32(b[4:])
	n := word & lengthBits
	if n == 0 || n > maxBody || word&^(lengthBits|flagSynced|flagControl) != 0 {
		return 0
	}
	return frameHeader + int(n)
}

// frameNumber returns the number in a frame's header.
func frameNumber(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }

// parseFrame reads the frame that b is. It reports false if the checksum does not match.
func parseFrame(b []byte) (frame, bool) {
	if disk.Checksum(b[4:]) != binary.LittleEndian.Uint32(b) {
		return frame{}, false
	}
	return frame{
		number: frameNumber(b), flags: binary.LittleEndian.Uint32(b[4:]) &^ lengthBits, body: b[frameHeader:len(b):len(b)],
	}, true
}
