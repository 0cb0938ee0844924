package pipeline

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// The journal is looked at, and not made.
func TestLookAtJournal(t *testing.T) {
	dir := t.TempDir()
	server, err := StartServer(t.Context(), ServerConfig{Dir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LookAtJournal(t.Context(), conn); !errors.Is(err, ErrNoJournal) {
		t.Errorf("%v", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("stream %s was made", name)
	}
	conn.Close()
	server.Close()

	r := newRig(t, dir)
	if look, err := LookAtJournal(t.Context(), r.conn); err != nil || look.Messages != 0 || look.Newest.ID != "" {
		t.Errorf("%+v, %v", look, err)
	}
	r.send(r.intake("one"), 0, 3)
	r.send(r.intake("two"), 3, 4)
	r.eventually(func() error {
		if r.kept() != 4 {
			return errors.New("not all is journaled")
		}
		return nil
	})
	look, err := LookAtJournal(t.Context(), r.conn)
	if err != nil || look.Messages != 4 || look.Newest.Account != "two" || look.Newest.ID != r.journaled("two")[0].ID || look.Recorded.IsZero() {
		t.Errorf("%+v, %v", look, err)
	}
}
