package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/natstest"
)

// Whoever follows the journal gets each event once and in order, also over the death of its server, and leaves nothing there.
func TestFollow(t *testing.T) {
	p := natstest.Start(t)
	dial := func() *nats.Conn {
		conn, err := nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	r := rigOn(t, dial(), nil)
	in, other := r.intake("acc"), r.intake("other")
	r.send(in, 0, 100)
	r.send(other, 0, 3)
	r.eventually(func() error { return r.wrote(103) })

	follower, err := AttachJournal(t.Context(), dial())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last uint64
	var got []string
	enough := errors.New("enough")
	visit := func(until int) func(JournaledEvent) error {
		return func(e JournaledEvent) error {
			last = e.Seq
			if got = append(got, *e.Event.Data.Title); len(got) == until {
				return enough
			}
			return nil
		}
	}
	if err := follower.Follow(ctx, FollowConfig{Accounts: []string{"acc"}}, visit(100)); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	dead := make(chan error, 1)
	go func() { dead <- follower.Follow(ctx, FollowConfig{Accounts: []string{"acc"}, After: last}, visit(-1)) }()
	r.eventually(func() error {
		if n := r.consumers(); n != 1 {
			return fmt.Errorf("%d consumers while it is followed", n)
		}
		return nil
	})
	p.Kill()
	if err := <-dead; err == nil || errors.Is(err, enough) {
		t.Errorf("after the server's death: %v", err)
	}
	r.send(in, 100, 200)
	p.Restart()
	r.eventually(func() error {
		err := follower.Follow(ctx, FollowConfig{Accounts: []string{"acc"}, After: last}, visit(200))
		if errors.Is(err, enough) {
			return nil
		}
		return fmt.Errorf("after its return: %w", err)
	})
	if !slices.Equal(got, wantTitles(0, 200)) {
		t.Errorf("got %d events, the first difference at %d", len(got), firstDifference(got, wantTitles(0, 200)))
	}
	since := time.Now()
	r.send(in, 200, 202)
	got = nil
	if err := follower.Follow(ctx, FollowConfig{Since: since}, visit(2)); !errors.Is(err, enough) || !slices.Equal(got, wantTitles(200, 202)) {
		t.Errorf("since: %q, %v", got, err)
	}
	r.eventually(func() error {
		if n := r.consumers(); n != 0 {
			return fmt.Errorf("%d consumers are left", n)
		}
		return nil
	})
	cancel()
	if err := follower.Follow(ctx, FollowConfig{After: last}, visit(-1)); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func (r *rig) wrote(n int) error {
	if got := r.kept(); got != n {
		return fmt.Errorf("%d written, want %d", got, n)
	}
	return nil
}

// consumers counts those of the journal.
func (r *rig) consumers() (n int) {
	r.t.Helper()
	stream, err := r.journal.js.Stream(r.t.Context(), JournalStream)
	if err != nil {
		return -1 // the server is away
	}
	for range stream.ListConsumers(r.t.Context()).Info() {
		n++
	}
	return n
}
