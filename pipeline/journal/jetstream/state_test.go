package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

func TestState(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	s := openOn(t, dial(t, p.URL())).state
	ctx := t.Context()
	if _, _, err := s.Get(ctx, "a.b"); !errors.Is(err, journal.ErrNoKey) {
		t.Errorf("get of none: %v", err)
	}
	if _, err := s.Put(ctx, "a.b", []byte("1"), 7); !errors.Is(err, journal.ErrRevision) {
		t.Errorf("put with a revision of none: %v", err)
	}
	first, err := s.Put(ctx, "a.b", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "a.b", []byte("2"), 0); !errors.Is(err, journal.ErrRevision) {
		t.Errorf("put of one that is there: %v", err)
	}
	second, err := s.Put(ctx, "a.b", nil, first)
	if err != nil || second <= first {
		t.Errorf("revision %d after %d, %v", second, first, err)
	}
	if _, err := s.Put(ctx, "a.b", []byte("3"), first); !errors.Is(err, journal.ErrRevision) {
		t.Errorf("put with an old revision: %v", err)
	}
	if value, revision, err := s.Get(ctx, "a.b"); err != nil || revision != second || len(value) > 0 {
		t.Errorf("%q, %d, %v", value, revision, err)
	}
	if err := s.Delete(ctx, "a.b"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, "a.b"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Get(ctx, "a.b"); !errors.Is(err, journal.ErrNoKey) {
		t.Errorf("get of a deleted one: %v", err)
	}
	if again, err := s.Put(ctx, "a.b", []byte("4"), 0); err != nil || again <= second {
		t.Errorf("revision %d after %d, %v", again, second, err)
	}
	for _, key := range []string{"", ".", "a..b", "a.*", "a.>", "a b", "journal/epochs", "a."} {
		if _, err := s.Put(ctx, key, nil, journal.AnyRevision); err == nil {
			t.Errorf("key %q", key)
		}
	}
}

// A key that a client of the bucket has deleted is one that is not there.
func TestKeyDeletedByOperator(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	s := openOn(t, dial(t, p.URL())).state
	if _, err := s.Put(t.Context(), "cursor.web", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	kv := bucketOf(t, s)
	if err := kv.Delete(t.Context(), "cursor.web"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), "cursor.web"); !errors.Is(err, journal.ErrNoKey) {
		t.Errorf("error %v", err)
	}
	if err := s.List(t.Context(), "", func(key string, _ []byte) error { return fmt.Errorf("%s is listed", key) }); err != nil {
		t.Error(err)
	}
	if _, err := s.Put(t.Context(), "cursor.web", []byte("2"), 0); err != nil {
		t.Error(err)
	}
}

func TestStateList(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	s := l.state
	if err := l.Reserve(t.Context(), 5); err != nil { // keeps a key of its own there
		t.Fatal(err)
	}
	var want []string
	for i := range 700 {
		key := journal.RetryKey("web", uint64(i))
		want = append(want, key)
		if _, err := s.Put(t.Context(), key, []byte(key), journal.AnyRevision); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	for _, key := range []string{"cursor.web", "retry.webhook.1", "sink.web"} {
		if _, err := s.Put(t.Context(), key, nil, journal.AnyRevision); err != nil {
			t.Fatal(err)
		}
	}
	list := func(prefix string) (keys []string) {
		err := s.List(t.Context(), prefix, func(key string, value []byte) error {
			if len(value) > 0 && string(value) != key {
				t.Errorf("%s has %q", key, value)
			}
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return keys
	}
	wantEqual(t, "retries", list(journal.RetryPrefix("web")), want)
	wantEqual(t, "not at a dot", list("retry.webh"), []string{"retry.webhook.1"})
	wantEqual(t, "all", list(""), append(append([]string{"cursor.web"}, want...), "retry.webhook.1", "sink.web"))
	wantEqual(t, "none", list("x"), nil)
	stop := errors.New("stop")
	if err := s.List(t.Context(), "", func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	for _, key := range want {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	info, err := s.client.info(t.Context(), bucketStream, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 4 {
		t.Errorf("%d messages are left of deleted keys", info.State.Msgs-4)
	}
}

// Of those who change a key at once, each change is made on top of the one before.
func TestStateUpdatedByMany(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	var wg sync.WaitGroup
	for range 4 {
		s := openOn(t, dial(t, p.URL())).state
		wg.Go(func() {
			for done := 0; done < 25; {
				value, revision, err := s.Get(t.Context(), "n")
				if err != nil && !errors.Is(err, journal.ErrNoKey) {
					t.Error(err)
					return
				}
				_, err = s.Put(t.Context(), "n", append(value, 'x'), revision)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, journal.ErrRevision):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s := openOn(t, dial(t, p.URL())).state
	if value, _, err := s.Get(t.Context(), "n"); err != nil || string(value) != strings.Repeat("x", 100) {
		t.Errorf("%d changes, %v", len(value), err)
	}
}

// A watch goes on over a lost connection, and a bucket that is gone and made again.
func TestWatch(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	s := openOn(t, dial(t, p.URL())).state
	writer := openOn(t, dial(t, p.URL())).state
	put := func(value string) {
		t.Helper()
		eventually(t, "put", func() bool {
			_, err := writer.Put(t.Context(), "sink.web", []byte(value), journal.AnyRevision)
			return err == nil
		})
	}
	put("1")
	var mu sync.Mutex
	var seen string
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- s.Watch(ctx, "sink.web", func(value []byte, _ uint64) {
			mu.Lock()
			defer mu.Unlock()
			seen = string(value)
		})
	}()
	sees := func(want string) {
		t.Helper()
		eventually(t, "the watch sees "+want, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return seen == want
		})
	}
	sees("1")
	put("2")
	sees("2")
	p.Kill()
	p.Restart()
	put("3")
	sees("3")
	if err := s.client.api(t.Context(), "STREAM.DELETE."+bucketStream, nil, nil); err != nil {
		t.Fatal(err)
	}
	put("4")
	sees("4")
	if err := writer.Delete(t.Context(), "sink.web"); err != nil {
		t.Fatal(err)
	}
	sees("")
	put("5")
	sees("5")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
