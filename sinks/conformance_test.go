package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

func TestMain(m *testing.M) { os.Exit(sinktest.Main(m)) }

func destinations() map[string]func(*testing.T) *sinktest.Destination {
	all := map[string]func(*testing.T) *sinktest.Destination{
		"stdout":        sinktest.StdoutDestination,
		"nats embedded": sinktest.EmbeddedDestination,
		"webhook":       sinktest.WebhookDestination,
		"discord":       sinktest.DiscordDestination,
		"slack":         sinktest.SlackDestination,
	}
	maps.Copy(all, sinktest.ProcessDestinations())
	return all
}

// TestConformance checks every sink against the contract of [pipeline.Sink].
func TestConformance(t *testing.T) {
	tested := map[string]bool{}
	for name, start := range destinations() {
		typ, _, _ := strings.Cut(name, " ")
		tested[typ] = true
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				name string
				test func(*testing.T, *trial)
			}{
				{"delivers in order, byte for byte", deliversInOrder},
				{"delivers a digest", deliversADigest},
				{"accepts what it says", acceptsWhatItSays},
				{"leaves a hanging destination when told", leavesAHangingDestination},
				{"resumes after an outage", resumesAfterAnOutage},
				{"serves accounts at once", servesAccountsAtOnce},
				{"closes twice", closesTwice},
				{"closes while it hangs", closesWhileItHangs},
			} {
				t.Run(c.name, func(t *testing.T) {
					before := goleak.IgnoreCurrent()
					tr := newTrial(t, start(t))
					c.test(t, tr)
					tr.end(t)
					if err := goleak.Find(append(natstest.Leaks(), before)...); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	for _, typ := range sinks.Types() {
		if !tested[typ] {
			t.Errorf("sink type %s has no destination in this suite", typ)
		}
	}
}

func deliversInOrder(t *testing.T, tr *trial) {
	records := sinktest.UnusualRecords("mystream")
	tr.deliverAll(t, records)
	got := tr.arrivals(t, len(records))
	for i, r := range records {
		if got[i].ID != r.ID || got[i].Line != tr.dest.Line(r) {
			t.Fatalf("arrival %d is %s %.200q, want %s %.200q", i, got[i].ID, got[i].Line, r.ID, tr.dest.Line(r))
		}
	}
	if len(got) != len(records) {
		t.Errorf("%d events arrived, want %d", len(got), len(records))
	}
}

// A digest arrives among treats, as itself or in words.
func deliversADigest(t *testing.T, tr *trial) {
	treats := sinktest.Plain("mystream", 4)
	records := []pipeline.Record{treats[0], treats[1], sinktest.DigestRecord("mystream"), treats[2], treats[3]}
	tr.deliverAll(t, records)
	tr.complete(t, records)
}

func acceptsWhatItSays(t *testing.T, tr *trial) {
	records := sinktest.Plain("mystream", 40)
	total := 0
	for total < len(records) {
		n, err := tr.sink.Deliver(t.Context(), records[total:])
		if n < 1 || n > len(records)-total {
			t.Fatalf("Deliver of %d accepted %d: %v", len(records)-total, n, err)
		}
		total += n
		if got := tr.arrivals(t, total); len(got) != total {
			t.Fatalf("%d events arrived, %d were accepted", len(got), total)
		}
	}
	if n, err := tr.sink.Deliver(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("Deliver of nothing = %d, %v", n, err)
	}
}

func leavesAHangingDestination(t *testing.T, tr *trial) {
	tr.deliverAll(t, sinktest.Plain("mystream", 1))
	resume := sync.OnceFunc(tr.dest.Hang(t))
	defer resume()
	records := sinktest.LongRecords("mystream", 3)
	gone := errors.New("the operator wants to go home")
	for range 2 {
		ctx, cancel := context.WithCancelCause(t.Context())
		tr.leave(t, func() (int, error) { return tr.sink.Deliver(ctx, records) }, func() { cancel(gone) }, gone)
	}
	resume()
	tr.deliverAll(t, records)
	tr.complete(t, append(sinktest.Plain("mystream", 1), records...))
}

func resumesAfterAnOutage(t *testing.T, tr *trial) {
	records := sinktest.Plain("mystream", 60)
	tr.deliverAll(t, records[:20])
	outage := tr.dest.Outage
	if outage == nil {
		outage = tr.dest.Hang
	}
	restore := sync.OnceFunc(outage(t))
	defer restore()
	if tr.dest.Outage != nil {
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			n, err := tr.sink.Deliver(ctx, records[20:40])
			cancel()
			tr.note(err)
			if n != 0 || err == nil || pipeline.IsPermanent(err) {
				t.Fatalf("Deliver while the destination is down = %d, %v, want an error that is worth a retry", n, err)
			}
		}
	}
	restore()
	tr.deliverAll(t, records[20:])
	tr.complete(t, records)
}

func servesAccountsAtOnce(t *testing.T, tr *trial) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { tr.deliverAll(t, sinktest.Plain(fmt.Sprintf("account%d", i), 30)) })
	}
	all.Wait()
	got := tr.arrivals(t, 8*30)
	for i := range 8 {
		account := fmt.Sprintf("account%d", i)
		next := 0
		want := sinktest.Plain(account, 30)
		for _, a := range got {
			if !strings.Contains(a.ID, account) {
				continue
			}
			if next >= len(want) || a.ID != want[next].ID || a.Line != tr.dest.Line(want[next]) {
				t.Fatalf("%s: arrival %d is %s", account, next, a.ID)
			}
			next++
		}
		if next != len(want) {
			t.Errorf("%s: %d events arrived, want %d", account, next, len(want))
		}
	}
}

func closesTwice(t *testing.T, tr *trial) {
	tr.deliverAll(t, sinktest.Plain("mystream", 3))
	for range 2 {
		if err := tr.sink.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func closesWhileItHangs(t *testing.T, tr *trial) {
	resume := sync.OnceFunc(tr.dest.Hang(t))
	defer resume()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("time is up")
	tr.leave(t, func() (int, error) { return tr.sink.Deliver(ctx, sinktest.LongRecords("mystream", 1)) }, func() { cancel(gone) }, gone)
	closed := make(chan error, 1)
	go func() { closed <- tr.sink.Close() }()
	select {
	case err := <-closed: // It may complain.
		tr.note(err)
	case <-time.After(20 * time.Second):
		t.Error("Close still waits for a destination that hangs")
		resume()
		tr.note(<-closed)
	}
}

// trial is a sink with its destination, and all that the sink has said.
type trial struct {
	dest *sinktest.Destination
	sink pipeline.Sink
	log  sinktest.LockedBuffer

	mu   sync.Mutex
	said []string
}

func newTrial(t *testing.T, d *sinktest.Destination) *trial {
	t.Helper()
	tr := &trial{dest: d}
	tr.sink = tr.open(t)
	return tr
}

func (tr *trial) open(t *testing.T) pipeline.Sink {
	t.Helper()
	if err := tr.dest.Config.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := sinks.Open(t.Context(), tr.dest.Config, sinks.Env{
		Name: "trial", Stdout: tr.dest.Stdout, NATS: tr.dest.Nats, UserAgent: "relay/test", Log: zerolog.New(&tr.log),
		Attempt: func(a pipeline.Attempt) { tr.note(fmt.Errorf("%+v", a)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// end closes all and checks that no secret was said.
func (tr *trial) end(t *testing.T) {
	t.Helper()
	if err := tr.sink.Close(); err != nil {
		tr.note(err)
	}
	tr.dest.End()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, text := range append(tr.said, tr.log.String()) {
		for _, s := range tr.dest.Secrets {
			if strings.Contains(text, s) {
				t.Errorf("a secret shows in %q", text)
			}
		}
	}
	if t.Failed() {
		t.Logf("the sink logged:\n%s", tr.log.String())
	}
}

func (tr *trial) note(err error) {
	if err == nil {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.said = append(tr.said, err.Error(), fmt.Sprintf("%+v %#v", err, err.Error()))
}

// leave calls deliver and then end, and wants deliver to return soon after that, with why.
func (tr *trial) leave(t *testing.T, deliver func() (int, error), end func(), why error) {
	t.Helper()
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := deliver()
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		t.Fatalf("Deliver to a destination that hangs returned %d, %v", r.n, r.err)
	case <-time.After(100 * time.Millisecond):
	}
	end()
	select {
	case r := <-done:
		tr.note(r.err)
		if r.n != 0 || !errors.Is(r.err, why) || pipeline.IsPermanent(r.err) {
			t.Errorf("Deliver whose context ended = %d, %v, want the cause", r.n, r.err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Deliver does not return after its context ended")
	}
}

// deliverAll delivers as a lane does: in order, again and again.
func (tr *trial) deliverAll(t *testing.T, records []pipeline.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	for len(records) > 0 {
		if ctx.Err() != nil {
			t.Errorf("%d records are left: %v", len(records), err)
			return
		}
		var n int
		n, err = tr.sink.Deliver(ctx, records)
		tr.note(err)
		if n < 0 || n > len(records) || n == 0 && err == nil || pipeline.IsPermanent(err) {
			t.Errorf("Deliver of %d = %d, %v", len(records), n, err)
			return
		}
		if n == 0 {
			time.Sleep(20 * time.Millisecond)
		}
		records = records[n:]
	}
}

// arrivals waits until n different events have arrived and returns all arrivals.
func (tr *trial) arrivals(t *testing.T, n int) []sinktest.Arrival {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := tr.dest.Arrived(t)
		different := map[string]bool{}
		for _, a := range got {
			different[a.ID] = true
		}
		if len(different) >= n {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d different events arrived, want %d", len(different), n)
		}
	}
}

// complete checks that every record has arrived, the first copies in order, and that a copy is the same event.
func (tr *trial) complete(t *testing.T, records []pipeline.Record) {
	t.Helper()
	got := tr.arrivals(t, len(records))
	lines := map[string]string{}
	var order []string
	for _, a := range got {
		switch line, again := lines[a.ID]; {
		case !again:
			lines[a.ID] = a.Line
			order = append(order, a.ID)
		case tr.dest.Once:
			t.Errorf("event %s arrived twice", a.ID)
		case line != a.Line:
			t.Errorf("event %s arrived with another content", a.ID)
		}
	}
	if len(order) != len(records) {
		t.Fatalf("%d different events arrived, want %d", len(order), len(records))
	}
	for i, r := range records {
		if order[i] != r.ID || lines[r.ID] != tr.dest.Line(r) {
			t.Fatalf("event %d is %s, want %s", i, order[i], r.ID)
		}
	}
}
