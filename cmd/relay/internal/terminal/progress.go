package terminal

import (
	"fmt"
	"io"
	"time"
)

// Progress is a line on a terminal that is written over and over.
type Progress struct {
	w     io.Writer
	shown bool
	last  time.Time
}

// NewProgress is a line on w that is written only if shown says so.
func NewProgress(w io.Writer, shown bool) Progress { return Progress{w: w, shown: shown} }

const progressEvery = 200 * time.Millisecond

// Show tells how many there were, and the time of the latest.
func (p *Progress) Show(n int, at time.Time) error {
	if !p.shown || time.Since(p.last) < progressEvery {
		return nil
	}
	p.last = time.Now()
	_, err := fmt.Fprintf(p.w, "\r\x1b[K%d, up to %s", n, at.Local().Format(time.DateTime))
	return err
}

// Clear takes the line away.
func (p *Progress) Clear() error {
	if p.last.IsZero() {
		return nil
	}
	_, err := io.WriteString(p.w, "\r\x1b[K")
	return err
}
