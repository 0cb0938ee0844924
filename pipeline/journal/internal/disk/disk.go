// Package disk holds what the log and the state in files have in common: how a file is opened, how a folder is made durable, and the checksum.
package disk

import "hash/crc32"

// Checksum returns the CRC32C of b.
func Checksum(b []byte) uint32 { return UpdateChecksum(0, b) }

// UpdateChecksum returns the CRC32C of what sum is that of, followed by b.
func UpdateChecksum(sum uint32, b []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
}
