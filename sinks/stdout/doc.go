// Package stdout is the sink that writes every event to standard output, one line of JSON each.
//
// A reader only sees whole lines: if a write fails within a line, the rest of the line is written before the next one.
// A stalled reader blocks a delivery at most until its context ends. When the reader has closed its end, a delivery
// fails with [pipeline.ErrSinkClosed].
package stdout
