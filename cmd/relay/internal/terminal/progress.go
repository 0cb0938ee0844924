package terminal

import (
	"fmt"
	"io"
	"time"
)

// Progress shows progress in one line of a terminal, which it overwrites.
type Progress struct {
	w     io.Writer
	shown bool
	last  time.Time
}

// NewProgress returns a progress line on w. Unless shown is true it writes nothing.
func NewProgress(w io.Writer, shown bool) Progress { return Progress{w: w, shown: shown} }

const progressEvery = 200 * time.Millisecond

// Show updates the line, at most every 200 ms: n elements so far, and the time of the latest.
func (p *Progress) Show(n int, at time.Time) error {
	if !p.shown || time.Since(p.last) < progressEvery {
		return nil
	}
	p.last = time.Now()
	_, err := fmt.Fprintf(p.w, "\r\x1b[K%d, up to %s", n, at.Local().Format(time.DateTime))
	return err
}

// Clear removes the line.
func (p *Progress) Clear() error {
	if p.last.IsZero() {
		return nil
	}
	_, err := io.WriteString(p.w, "\r\x1b[K")
	return err
}
