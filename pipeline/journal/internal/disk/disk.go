// Package disk provides what the engine's log and state in files share: opening and reading a file, making a file or
// folder durable, and the checksum.
package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
)

// Checksum returns the CRC32C of b.
func Checksum(b []byte) uint32 { return UpdateChecksum(0, b) }

// UpdateChecksum returns the CRC32C of some bytes followed by b, given the CRC32C of those bytes.
func UpdateChecksum(sum uint32, b []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
}

// ReadAt reads the bytes at off, or fewer at the end of the file. If the disk reports an error, it reads in small blocks
// and returns zeroes for unreadable ones.
func ReadAt(r io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := r.ReadAt(b, off)
	if err == nil || errors.Is(err, io.EOF) {
		return n, nil
	}
	if errors.Is(err, fs.ErrClosed) {
		return 0, err
	}
	const block = 4 << 10
	good := 0
	for at := 0; at < len(b); {
		end := min(at+block-int((off+int64(at))%block), len(b))
		n, blockErr := r.ReadAt(b[at:end], off+int64(at))
		switch {
		case blockErr == nil:
			good++
		case errors.Is(blockErr, io.EOF):
			return at + n, nil
		default:
			clear(b[at:end])
		}
		at = end
	}
	if good == 0 {
		return 0, fmt.Errorf("read at %d: %w", off, err)
	}
	return len(b), nil
}
