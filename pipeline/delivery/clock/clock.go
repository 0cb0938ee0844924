// Package clock says how a lane waits: by the monotonic clock, and for a time that was kept on disk by a clock that may have been wrong.
package clock

import (
	"context"
	"errors"
	"time"
)

// What is waited for in memory is waited for by the monotonic clock, which goes on when somebody sets the other one: its times come from
// time.Now and keep that reading, which UTC and JSON strip (package time, "Monotonic Clocks"). On disk there is the wall clock only.

// OnDisk is a time as it is kept on disk.
func OnDisk(t time.Time) time.Time { return t.UTC() }

// Waking is when something is due, by the monotonic clock of now, that was to be due at due by a clock that said noted when that was
// decided. If that clock was ahead, and was set right since, it is not waited for longer than was decided then.
func Waking(due, noted, now time.Time) time.Time {
	if due.IsZero() {
		return due
	}
	wait := due.Sub(now)
	if noted.After(now) {
		wait = min(wait, due.Sub(noted))
	}
	return now.Add(wait)
}

// Later is the later one of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Await waits until changed is closed or, if wait is not negative, has passed. It reports false if ctx ended or hurry was closed
// before.
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

// AtOnce calls write, which records what has happened already: also after ctx has ended, but for no longer than 2 s.
func AtOnce(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*time.Second, errRecordLate)
	defer cancel()
	err := write(ctx)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause
	}
	return err
}

var errRecordLate = errors.New("no answer from the journal within 2 s")
