package intake

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/match"
)

var errShutdown = errors.New("relay is stopping")

// A payload that waits for the lock does not hold up a shutdown. Once the lock is free it is journaled, even if its context has ended.
func TestHandleEndsWithItsContext(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	in.lock.token <- struct{}{} // another payload waits for the journal
	ctx, stop := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() { done <- in.Handle(ctx, []json.RawMessage{payload(0)}, time.Now()) }()
	stop(errShutdown)
	if err := <-done; !errors.Is(err, errShutdown) {
		t.Errorf("error %v, want %v", err, errShutdown)
	}
	<-in.lock.token
	if err := in.Handle(ctx, []json.RawMessage{payload(0)}, time.Now()); err != nil {
		t.Errorf("a payload whose turn is free is not taken: %v", err)
	}
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := titles(r.journaled("acc")); !slices.Equal(got, []string{"t000000"}) {
		t.Errorf("journaled %v", got)
	}
}

// A comparison whose context ends does not wait for a payload. The next holder of the lock ends the watch.
func TestMeasureEndsWithItsContext(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	rec := NewReconciler(in, nil, ReconcileConfig{})
	ctx, stop := context.WithCancelCause(t.Context())
	r.disk.Lock()
	r.send(in, 0, 1) // it is not on disk: the comparison waits for it
	done := make(chan error)
	go func() {
		c := match.New([]history.Treat{{Same: fingerprint.Identity{Content: 1, Second: 1_700_000_000}}}, time.UTC)
		done <- rec.countTreats(ctx, c, newBaseline(0), func() { t.Error("an interrupted comparison is settled") })
	}()
	r.eventually(func() error {
		in.lock.token <- struct{}{}
		if in.overlap.watching {
			return nil // with the lock taken
		}
		<-in.lock.token
		return errors.New("the comparison does not watch what comes live")
	})
	stop(errShutdown)
	if err := <-done; !errors.Is(err, errShutdown) {
		t.Errorf("error %v, want %v", err, errShutdown)
	}
	<-in.lock.token
	r.disk.Unlock()
	r.send(in, 1, 2)
	in.lock.token <- struct{}{}
	defer func() { <-in.lock.token }()
	if in.overlap.watching || len(in.overlap.watched) > 0 {
		t.Errorf("watched %v after the comparison was interrupted", in.overlap.watched)
	}
}
