package main

import (
	"fmt"
	"io"
	"time"
)

// progress is a line on a terminal that is written over and over.
type progress struct {
	w     io.Writer
	shown bool
	last  time.Time
}

const progressEvery = 200 * time.Millisecond

// show tells how many there were, and the time of the latest.
func (p *progress) show(n int, at time.Time) error {
	if !p.shown || time.Since(p.last) < progressEvery {
		return nil
	}
	p.last = time.Now()
	_, err := fmt.Fprintf(p.w, "\r\x1b[K%d, up to %s", n, at.Local().Format(time.DateTime))
	return err
}

// clear takes the line away.
func (p *progress) clear() error {
	if p.last.IsZero() {
		return nil
	}
	_, err := io.WriteString(p.w, "\r\x1b[K")
	return err
}
