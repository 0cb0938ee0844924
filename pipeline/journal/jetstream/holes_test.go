package jetstream

import (
	"testing"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// attachTo opens the log as a command beside relay does.
func attachTo(t *testing.T, p *natstest.Server) *Log {
	t.Helper()
	log, _, err := Attach(t.Context(), Options{Conn: dial(t, p.URL())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// One who only reads finds a record missing by a view that is older than what he knows by then: that stays.
func TestHolesOfAnOlderView(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	owner := openOn(t, dial(t, p.URL()))
	appendAll(t, owner, entries(0, 10))
	log := attachTo(t, p)
	older := log.snapshot()
	if err := owner.client.api(t.Context(), "STREAM.MSG.DELETE."+StreamName, map[string]any{"seq": 3}, nil); err != nil {
		t.Fatal(err)
	}
	if err := owner.Reserve(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "numbers", appendAll(t, owner, entries(10, 12)), upTo(21, 22))
	if err := log.reread(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := log.noteHoles(t.Context(), &older, []journal.Range{{First: 3, Last: 3}}); err != nil {
		t.Fatal(err)
	}
	if _, next := log.Bounds(); next != 23 {
		t.Errorf("next is %d", next)
	}
	wantEqual(t, "numbers read", numbers(readAll(t, log, 11)), upTo(21, 22))
}

// What a command beside relay appends gets no number that relay has reserved just before.
func TestAttachedAppendsBehindReserved(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	owner := openOn(t, dial(t, p.URL()))
	appendAll(t, owner, entries(0, 10))
	log := attachTo(t, p)
	if err := owner.Reserve(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "numbers", appendAll(t, log, entries(10, 12)), upTo(21, 22))
	for _, l := range []journal.Log{log, owner} {
		eventually(t, "it is read", func() bool {
			_, next := l.Bounds()
			return next == 23
		})
		wantEqual(t, "numbers read", numbers(readAll(t, l, 11)), upTo(21, 22))
	}
	if offset, at, err := owner.offsetAt(t.Context(), 11, false); err != nil || at != 11 || offset != 10 {
		t.Errorf("the record says the offset %d, %v", offset, err)
	}
}
