// Package frame is the encoding of a record in a segment file, and a scanner that finds records between damaged bytes.
// It does not depend on files or segments. Start reading at [Append] and [Scanner].
package frame

import (
	"encoding/binary"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// A frame is: CRC32C of all that follows (4 bytes), length of the body and flags (4), number (8), body. All numbers are little endian.
const (
	// HeaderSize is the number of bytes before the body.
	HeaderSize = 16
	// MaxBody bounds the size of the encoded entry.
	MaxBody = 8 << 20

	lengthBits = 1<<24 - 1
	// FlagSynced means that all frames before this one were synced when it was written.
	FlagSynced = 1 << 31
	// FlagControl means that the body is not an entry.
	FlagControl = 1 << 30
)

// Frame is a decoded frame. Body shares memory with the buffer it was read from.
type Frame struct {
	Number uint64
	Flags  uint32
	Body   []byte
}

// Append appends the frame of an entry.
func Append(b []byte, number uint64, flags uint32, e *journal.Entry) []byte {
	at := len(b)
	b = append(b, make([]byte, HeaderSize)...)
	b = journal.AppendEntry(b, e)
	Finish(b[at:], number, flags)
	return b
}

// Finish writes the header of the frame b.
func Finish(b []byte, number uint64, flags uint32) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-HeaderSize)|flags) //nolint:gosec // bounded by MaxBody
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint32(b, disk.Checksum(b[4:]))
}

// Size returns the length of the frame that begins with b, which has at least HeaderSize bytes. It returns 0 if b cannot be a
// frame.
func Size(b []byte) int {
	word := binary.LittleEndian.Uint32(b[4:])
	n := word & lengthBits
	if n == 0 || n > MaxBody || word&^(lengthBits|FlagSynced|FlagControl) != 0 {
		return 0
	}
	return HeaderSize + int(n)
}

// Number returns the number in a frame's header.
func Number(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }

// Parse decodes the frame b. It reports false if the checksum does not match.
func Parse(b []byte) (Frame, bool) {
	if disk.Checksum(b[4:]) != binary.LittleEndian.Uint32(b) {
		return Frame{}, false
	}
	return Frame{
		Number: Number(b), Flags: binary.LittleEndian.Uint32(b[4:]) &^ lengthBits, Body: b[HeaderSize:len(b):len(b)],
	}, true
}
