package web

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	// patience is how long a client may take to take what it is sent. It is dropped then.
	patience = 30 * time.Second
	// checkEvery is how often it is checked, while an answer is written, whether the caller may still read it.
	checkEvery = time.Second
)

// errEnded is the cause of the end of an answer whose reader lost the right to it.
var errEnded = errors.New("the session has ended, or the key is revoked")

// answer is the answer to a request to the API. It may take any time, as a stream does, while its reader takes what it is sent and may still read it.
// Like every response writer it serves one goroutine at a time.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	still    func() bool
	end      context.CancelCauseFunc
	patience time.Duration
	checked  time.Time
}

// newAnswer wraps the response writer of a request. end ends the context of the request.
func newAnswer(w http.ResponseWriter, patience time.Duration, still func() bool, end context.CancelCauseFunc) *answer {
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w), patience: patience, still: still, end: end}
	a.extend(time.Now())
	return a
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(p []byte) (int, error) {
	if err := a.before(); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(p)
}

// FlushError sends what was written so far.
func (a *answer) FlushError() error {
	if err := a.before(); err != nil {
		return err
	}
	return a.control.Flush()
}

// Flush implements [http.Flusher].
func (a *answer) Flush() { _ = a.FlushError() }

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) before() error {
	now := time.Now()
	if now.Sub(a.checked) < checkEvery {
		return nil
	}
	if !a.still() {
		a.end(errEnded)
		return errEnded
	}
	a.extend(now)
	return nil
}

func (a *answer) extend(now time.Time) {
	a.checked = now
	_ = a.control.SetWriteDeadline(now.Add(a.patience)) // a transport without deadlines has a reader in this process
}
