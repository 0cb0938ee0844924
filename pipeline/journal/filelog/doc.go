// Package filelog keeps the journal's log in files of one machine. One process writes, and any number of others may read meanwhile.
//
// A folder holds segments, each named by the number of its first record. A segment is a sequence of frames: a checksum (CRC32C of all
// that follows), the length, the number, and the entry in the form of [journal.AppendEntry]. An append is one write and one sync. Its first
// frame carries a flag that says that everything before it was synced, and the file "position" holds the newest number that was: by
// both, an append that a crash interrupted is told from a record that was damaged later. The first is cut; the second is reported, kept aside in
// the folder "damaged", and its number is a gap. Reading goes on with the next frame whose checksum and number fit.
//
// Beside each sealed segment is an index. It is derived and made again if it is missing or does not fit. The file "gaps.json" holds the gaps that are known.
package filelog
