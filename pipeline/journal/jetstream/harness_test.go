package jetstream

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

var natsServer string // the program

// serverEnv tells the processes that a test starts of this binary where the server is.
const serverEnv = "RELAY_TEST_NATS_SERVER"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if natsServer = os.Getenv(serverEnv); natsServer != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "relay-jetstream")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		natsServer, err = natstest.Build(context.Background(), dir)
	}
	if err == nil {
		err = os.Setenv(serverEnv, natsServer)
	}
	code := 1
	if err == nil {
		if code = m.Run(); code == 0 {
			err = goleak.Find()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// logLines collects what is logged.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	return len(p), nil
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// dial connects as relay does, but comes back faster.
func dial(t testing.TB, url string, more ...nats.Option) *nats.Conn {
	t.Helper()
	opts := append(ConnOptions(), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond), nats.Timeout(10*time.Second))
	nc, err := nats.Connect(url, append(opts, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// opened is an open log with its state.
type opened struct {
	*Log
	state *State
	lines *logLines
}

func openOn(t testing.TB, nc *nats.Conn, change ...func(*Options)) *opened {
	t.Helper()
	lines := &logLines{}
	o := Options{Conn: nc, Retention: 24 * time.Hour, Log: zerolog.New(lines)}
	for _, c := range change {
		c(&o)
	}
	log, state, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if err := state.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(lines)
		}
	})
	return &opened{log, state, lines}
}

func entry(i int) journal.Entry {
	return journal.Entry{
		Kind: journal.Treat, ID: fmt.Sprintf("id%06d", i), Time: time.Unix(1_700_000_000+int64(i), 0).UTC(), Account: fmt.Sprintf("acc%d", i%3),
		Provider: "treatstream", Origin: "live", Data: fmt.Appendf(nil, `{"n":%d}`, i),
	}
}

func entries(from, to int) []journal.Entry {
	var all []journal.Entry
	for i := from; i < to; i++ {
		all = append(all, entry(i))
	}
	return all
}

// appendAll appends, whatever it takes, as the journal does.
func appendAll(t testing.TB, l journal.Log, all []journal.Entry) []uint64 {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		numbers, err := l.Append(t.Context(), all)
		if err == nil {
			if len(numbers) != len(all) {
				t.Fatalf("%d numbers for %d entries", len(numbers), len(all))
			}
			return numbers
		}
		if time.Now().After(deadline) {
			t.Fatalf("append: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// readAll returns everything from a number on.
func readAll(t testing.TB, l journal.Log, from uint64) []journal.Record {
	t.Helper()
	var all []journal.Record
	deadline := time.Now().Add(60 * time.Second)
	for {
		records, err := l.Read(t.Context(), from, 500)
		if err != nil {
			if time.Now().After(deadline) {
				t.Fatalf("read: %v", err)
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if len(records) == 0 {
			return all
		}
		for _, r := range records {
			if r.Number < from {
				t.Fatalf("number %d after %d", r.Number, from-1)
			}
			from = r.Number + 1
		}
		all = append(all, records...)
	}
}

func ids(records []journal.Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, r.ID)
	}
	return all
}

func numbers(records []journal.Record) []uint64 {
	var all []uint64
	for _, r := range records {
		all = append(all, r.Number)
	}
	return all
}

func wantIDs(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, entry(i).ID)
	}
	return all
}

func upTo(first, last uint64) []uint64 {
	var all []uint64
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func wantEqual[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %d %v, want %d %v", what, len(got), short(got), len(want), short(want))
	}
}

func short[T any](all []T) string {
	if len(all) <= 40 {
		return fmt.Sprint(all)
	}
	return fmt.Sprint(all[:20], "...", all[len(all)-20:])
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 60 s: %s", what)
		}
	}
}

func gaps(t testing.TB, l journal.Log) []journal.Range {
	t.Helper()
	var ranges []journal.Range
	eventually(t, "gaps can be read", func() (ok bool) {
		var err error
		ranges, err = l.Gaps(t.Context())
		return err == nil
	})
	return ranges
}

// openedLog is a log of the test's own.
func openedLog(t testing.TB) zerolog.Logger { return zerolog.New(zerolog.NewTestWriter(t)) }

// bucketOf is the state as other clients see it.
func bucketOf(t testing.TB, s *State) natsjs.KeyValue {
	t.Helper()
	js, err := natsjs.New(s.client.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}
