// Package clock provides waits that a wrong system clock does not disturb: waits in memory use the monotonic clock, and
// times from disk are checked when they are read.
package clock

import (
	"context"
	"errors"
	"time"
)

// Waits in memory use the monotonic clock, which setting the system clock does not affect. Their times come from
// time.Now and keep its monotonic reading, which UTC and JSON strip (package time, "Monotonic Clocks"). Times on disk
// have the wall clock only.

// OnDisk converts a time to its form on disk.
func OnDisk(t time.Time) time.Time { return t.UTC() }

// FromDisk converts a due time from disk to the monotonic clock of now. noted is what the clock said when the time was
// set. If that clock was ahead and was set right since, the wait is no longer than intended then.
func FromDisk(due, noted, now time.Time) time.Time {
	if due.IsZero() {
		return due
	}
	wait := due.Sub(now)
	if noted.After(now) {
		wait = min(wait, due.Sub(noted))
	}
	return now.Add(wait)
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Await waits until changed is closed or, if wait is not negative, has passed. It reports false if ctx ends or hurry is
// closed first.
func Await(ctx context.Context, hurry, changed <-chan struct{}, wait time.Duration) bool {
	var timeout <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-timeout:
	case <-changed:
	case <-hurry:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// WriteWithTimeout calls write to record what has already happened. It works after ctx has ended, but takes at most 2 s.
func WriteWithTimeout(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*time.Second, errRecordLate)
	defer cancel()
	err := write(ctx)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause
	}
	return err
}

var errRecordLate = errors.New("no answer from the journal within 2 s")
