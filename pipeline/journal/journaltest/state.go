package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

type stateSuite struct{ StateEngine }

func (s stateSuite) open(t *testing.T, location string) journal.State {
	t.Helper()
	st, err := s.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func closeState(t *testing.T, st journal.State) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, st journal.State, key, value string, expected uint64) uint64 {
	t.Helper()
	revision, err := st.Put(t.Context(), key, []byte(value), expected)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func checkValue(t *testing.T, st journal.State, key, want string) uint64 {
	t.Helper()
	value, revision, err := st.Get(t.Context(), key)
	if err != nil || string(value) != want {
		t.Fatalf("%s is %.60q, %v; want %.60q", key, value, err, want)
	}
	return revision
}

func checkNoKey(t *testing.T, st journal.State, key string) {
	t.Helper()
	if value, _, err := st.Get(t.Context(), key); !errors.Is(err, journal.ErrNoKey) {
		t.Fatalf("%s is %.60q, %v; want %v", key, value, err, journal.ErrNoKey)
	}
}

func (s stateSuite) values(t *testing.T) {
	st := s.open(t, s.NewLocation(t))
	defer func() { closeState(t, st) }()
	checkNoKey(t, st, "sink.a")
	if err := st.Delete(t.Context(), "sink.a"); err != nil {
		t.Errorf("delete a missing key: %v", err)
	}
	put(t, st, "sink.a", "one", journal.AnyRevision)
	put(t, st, "sink.a-B_9.z", "another", journal.AnyRevision)
	checkValue(t, st, "sink.a", "one")
	put(t, st, "sink.a", "two", journal.AnyRevision)
	checkValue(t, st, "sink.a", "two")
	checkValue(t, st, "sink.a-B_9.z", "another")
	put(t, st, "empty", "", journal.AnyRevision)
	checkValue(t, st, "empty", "")
	value, _, _ := st.Get(t.Context(), "sink.a")
	value[0] = 'X' // the caller owns the value
	checkValue(t, st, "sink.a", "two")
	if err := st.Delete(t.Context(), "sink.a"); err != nil {
		t.Fatal(err)
	}
	checkNoKey(t, st, "sink.a")
	checkValue(t, st, "sink.a-B_9.z", "another")
}

func (s stateSuite) revisions(t *testing.T) {
	location := s.NewLocation(t)
	st := s.open(t, location)
	last := uint64(0)
	for i := range 20 {
		if i%5 == 4 {
			closeState(t, st)
			st = s.open(t, location)
		}
		revision := put(t, st, "key", strconv.Itoa(i), journal.AnyRevision)
		if revision <= last {
			t.Errorf("revision %d after %d", revision, last)
		}
		if got := checkValue(t, st, "key", strconv.Itoa(i)); got != revision {
			t.Errorf("Put said revision %d, and Get %d", revision, got)
		}
		last = revision
		if i%3 == 2 {
			if err := st.Delete(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeState(t, st)
}

func (s stateSuite) compareAndSet(t *testing.T) {
	st := s.open(t, s.NewLocation(t))
	defer func() { closeState(t, st) }()
	refused := func(expected uint64) {
		t.Helper()
		if _, err := st.Put(t.Context(), "key", []byte("wrong"), expected); !errors.Is(err, journal.ErrRevision) {
			t.Errorf("expecting revision %d: %v", expected, err)
		}
	}
	refused(1)
	first := put(t, st, "key", "one", 0)
	refused(0)
	refused(first + 1)
	second := put(t, st, "key", "two", first)
	refused(first)
	if err := st.Delete(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	refused(second)
	put(t, st, "key", "0", 0)

	const workers, each = 8, 25
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for range each {
				increment(t, st)
			}
		})
	}
	running.Wait()
	checkValue(t, st, "key", strconv.Itoa(workers*each))
}

// increment adds one to the number under "key", concurrently with other callers.
func increment(t *testing.T, st journal.State) {
	for {
		value, revision, err := st.Get(t.Context(), "key")
		if err != nil {
			t.Error(err)
			return
		}
		n, _ := strconv.Atoi(string(value))
		_, err = st.Put(t.Context(), "key", []byte(strconv.Itoa(n+1)), revision)
		if err == nil {
			return
		}
		if !errors.Is(err, journal.ErrRevision) {
			t.Error(err)
			return
		}
	}
}

func list(t *testing.T, st journal.State, prefix string) (keys []string) {
	t.Helper()
	if err := st.List(t.Context(), prefix, func(key string, value []byte) error {
		if string(value) != "value of "+key {
			t.Errorf("%s: %q", key, value)
		}
		keys = append(keys, key)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}

func (s stateSuite) list(t *testing.T) {
	st := s.open(t, s.NewLocation(t))
	defer func() { closeState(t, st) }()
	if got := list(t, st, ""); len(got) != 0 {
		t.Errorf("an empty state holds %v", got)
	}
	all := []string{"Z", "a", "a-b", "a.b", "a.b.c", "a.b2", "a0", "aB", "a_b", "ab", "b.1", "b.10", "b.2"}
	for i := range all {
		key := all[(i*5)%len(all)] // in a different order
		put(t, st, key, "value of "+key, 0)
	}
	slices.Sort(all)
	if got := list(t, st, ""); !slices.Equal(got, all) {
		t.Errorf("all: %v\nwant %v", got, all)
	}
	for _, prefix := range []string{"a", "a.", "a.b", "b.", "b.1", "Z", "nothing", "a.b.c.d"} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if got := list(t, st, prefix); !slices.Equal(got, want) {
			t.Errorf("%q: %v\nwant %v", prefix, got, want)
		}
	}
	if err := st.Delete(t.Context(), "a.b"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, st, "a.b"); !slices.Equal(got, []string{"a.b.c", "a.b2"}) {
		t.Errorf("after one key was deleted: %v", got)
	}
	enough, calls := errors.New("enough"), 0
	if err := st.List(t.Context(), "", func(string, []byte) error {
		calls++
		return enough
	}); !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// listWhileItChanges puts and deletes from within List.
func (s stateSuite) listWhileItChanges(t *testing.T) {
	st := s.open(t, s.NewLocation(t))
	defer func() { closeState(t, st) }()
	const n = 300
	value := strings.Repeat("x", 10_000)
	for i := range n {
		put(t, st, fmt.Sprintf("dead.%04d", i), value, 0)
	}
	seen := 0
	if err := st.List(t.Context(), "dead.", func(key string, _ []byte) error {
		seen++
		put(t, st, "sink.a", value+key, journal.AnyRevision)
		put(t, st, "retry."+key, value, 0)
		return st.Delete(t.Context(), key)
	}); err != nil {
		t.Fatal(err)
	}
	if seen != n {
		t.Errorf("%d keys, want %d", seen, n)
	}
	if got := list(t, st, "dead."); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func (s stateSuite) watch(t *testing.T) {
	st := s.open(t, s.NewLocation(t))
	defer func() { closeState(t, st) }()
	type change struct {
		value    string
		revision uint64
	}
	watch := func(key string) (changes chan change, end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		changes = make(chan change, 1000)
		ended := make(chan error, 1)
		go func() {
			ended <- st.Watch(ctx, key, func(value []byte, revision uint64) { changes <- change{string(value), revision} })
		}()
		return changes, func() {
			t.Helper()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("a canceled watch: %v", err)
			}
		}
	}
	// until waits for a value. Changes in quick succession may be reported as one.
	until := func(changes chan change, want string) (c change) {
		t.Helper()
		last := uint64(0)
		for deadline := time.After(time.Minute); c.value != want; {
			select {
			case c = <-changes:
			case <-deadline:
				t.Fatalf("no %q reported within a minute", want)
			}
			if c.revision != 0 && c.revision <= last {
				t.Errorf("revision %d after %d", c.revision, last)
			}
			last = c.revision
		}
		return c
	}
	first := put(t, st, "config", "one", 0)
	changes, end := watch("config")
	none, endNone := watch("config.other")
	if c := until(changes, "one"); c.revision != first {
		t.Errorf("%+v, want revision %d", c, first)
	}
	for i := range 50 {
		put(t, st, "config", strconv.Itoa(i), journal.AnyRevision)
	}
	put(t, st, "confi", "shorter", 0)
	last := put(t, st, "config", "last", journal.AnyRevision)
	if c := until(changes, "last"); c.revision != last {
		t.Errorf("%+v, want revision %d", c, last)
	}
	second, endSecond := watch("config")
	until(second, "last")
	endSecond()
	if err := st.Delete(t.Context(), "config"); err != nil {
		t.Fatal(err)
	}
	until(changes, "")
	put(t, st, "config", "again", 0)
	until(changes, "again")
	end()
	endNone()
	if len(none) > 0 {
		t.Errorf("a missing key: %+v", <-none)
	}
}

func (s stateSuite) largeValues(t *testing.T) {
	location := s.NewLocation(t)
	st := s.open(t, location)
	values := map[string]string{}
	const size = 1 << 20 * 15 / 16 // a server's usual limit of 1 MiB includes headers
	for i := range 5 {
		key := fmt.Sprint("history.account", i)
		values[key] = string(bytes.Repeat([]byte{byte('a' + i)}, size))
		put(t, st, key, "small", 0)
		put(t, st, key, values[key], journal.AnyRevision)
	}
	for range 2 {
		for key, value := range values {
			checkValue(t, st, key, value)
		}
		closeState(t, st)
		st = s.open(t, location)
	}
	closeState(t, st)
}

func (s stateSuite) reopened(t *testing.T) {
	location := s.NewLocation(t)
	for round := range 4 {
		st := s.open(t, location)
		for i := range 50 {
			key := fmt.Sprint("dead.", round, ".", i)
			put(t, st, key, "value of "+key, 0)
		}
		if err := st.Delete(t.Context(), fmt.Sprint("dead.", round, ".", 7)); err != nil {
			t.Fatal(err)
		}
		closeState(t, st)
	}
	st := s.open(t, location)
	defer func() { closeState(t, st) }()
	if got := list(t, st, ""); len(got) != 4*49 {
		t.Errorf("%d keys, want %d", len(got), 4*49)
	}
}
