// Package filelog stores the journal's log in files on one machine. One process writes; any number of others may read
// concurrently.
//
// A folder holds segments, each named after the number of its first record. A segment is a sequence of frames. A frame has a
// checksum (CRC32C of everything after it), its length, its number, and the entry as encoded by [journal.AppendEntry]. An
// append is one write and one sync.
//
// Recovery tells an append that a crash interrupted from a record that was damaged later. Two things make this possible: the
// first frame of an append has a flag that everything before it was synced, and the file "position" holds the newest synced
// number. An interrupted append is truncated. A damaged record is reported, its bytes are copied to the folder "damaged", and
// its number becomes a gap. Reading continues with the next frame whose checksum and number are right.
//
// Each sealed segment has an index file beside it. The index is derived, and written again if it is missing or does not match. The
// file "gaps.json" holds the known gaps.
//
// Start reading at [Log] and [Open]: append.go writes, read.go reads, recover.go repairs the end
// of the log, and damage.go reports losses.
package filelog
