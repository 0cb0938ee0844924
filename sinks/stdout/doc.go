// Package stdout is the sink that writes every event to standard output, one line of JSON each.
//
// A line is written whole or not at all, as far as the reader sees: what a failed write left of one goes out before the next. A reader that
// stalls holds up a delivery until its context ends, and no longer. A reader that has left is pipeline.ErrSinkClosed.
package stdout
