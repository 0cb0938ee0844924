package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// attempts runs a log of attempts until the test ends or stop is called.
func (r *rig) attempts() (l *AttemptLog, stop func()) {
	r.t.Helper()
	l, err := OpenAttemptLog(r.t.Context(), JournalConfig{Conn: r.conn, Revive: r.journal.revive, Log: testLog(r.t), Metrics: r.journal.metrics})
	if err != nil {
		r.t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx := context.WithoutCancel(r.t.Context())
	running.Go(func() { l.Run(ctx) })
	stop = func() {
		l.Close()
		running.Wait()
	}
	r.t.Cleanup(stop)
	return l, stop
}

func (r *rig) attemptsOf(id string) (all []Attempt) {
	r.t.Helper()
	for a, err := range r.journal.Attempts(r.t.Context(), id, time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

func TestAttemptsAreKept(t *testing.T) {
	const n = 5000
	r := newRig(t, t.TempDir())
	l, stop := r.attempts()
	at := time.Date(2026, 7, 16, 21, 0, 0, 0, time.FixedZone("", 7200))
	for i := range n {
		a := Attempt{Time: at, Sink: fmt.Sprint("sink", i%3), Events: []string{fmt.Sprint("trt_", i), "trt_all"}, Endpoint: "https://bot.example", Latency: time.Duration(i)}
		if i%2 == 1 {
			a.Status, a.Error, a.Answer = 500, strings.Repeat("ö", 4000), "\xff<b>\n"
		}
		l.Add(a)
	}
	stop()
	one := r.attemptsOf("trt_4321")
	if len(one) != 1 {
		t.Fatalf("%d attempts of trt_4321, want 1", len(one))
	}
	a := one[0]
	if !a.Time.Equal(at) || a.Sink != "sink1" || a.Status != 500 || a.Latency != 4321 || a.Answer != "<b>\n" || a.Endpoint != "https://bot.example" {
		t.Errorf("attempt %+v", a)
	}
	if len(a.Error) > attemptText || len(a.Error) < attemptText-utf8.UTFMax || !utf8.ValidString(a.Error) {
		t.Errorf("an error of %d bytes, want about %d", len(a.Error), attemptText)
	}
	if got := len(r.attemptsOf("trt_all")); got != n {
		t.Errorf("%d attempts of the event that is in all, want %d", got, n)
	}
	if got := len(r.attemptsOf("trt_432")); got != 1 {
		t.Errorf("%d attempts of trt_432, want 1", got)
	}
	stream, err := r.journal.js.Stream(t.Context(), AttemptStream)
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	if info.State.Msgs > n/20 {
		t.Errorf("%d attempts make %d messages: they are to be written together", n, info.State.Msgs)
	}
	if info.Config.MaxAge != AttemptRetention {
		t.Errorf("attempts are kept for %v, want %v", info.Config.MaxAge, AttemptRetention)
	}
	if got := r.metric("relay_attempts_dropped_total"); got != 0 {
		t.Errorf("%v attempts were dropped", got)
	}
}

// What cannot be written is dropped beyond a bound, counted, and said once; nobody waits for it.
func TestAttemptsBeyondTheBuffer(t *testing.T) {
	r := newRig(t, t.TempDir())
	var said bytes.Buffer
	reg := prometheus.NewRegistry()
	l, err := OpenAttemptLog(t.Context(), JournalConfig{Conn: r.conn, Log: zerolog.New(&said), Metrics: NewMetrics(reg)})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	for i := range n { // nobody writes them
		l.Add(Attempt{Sink: "bot", Events: []string{fmt.Sprint("trt_", i)}, Error: strings.Repeat("e", 1000)})
	}
	l.Close()
	l.Run(t.Context())
	r.reg = reg
	dropped := int(r.metric("relay_attempts_dropped_total"))
	if dropped < n/2 || dropped >= n {
		t.Errorf("%d of %d attempts were dropped, want what exceeds %d bytes", dropped, n, attemptBuffer)
	}
	if lines := strings.Count(said.String(), "\n"); lines != 1 {
		t.Errorf("%d lines about it, want 1:\n%s", lines, said.String())
	}
	kept := 0
	for i := range n {
		if len(r.attemptsOf(fmt.Sprint("trt_", i))) == 0 {
			break
		}
		kept++
		if kept == 5 {
			break
		}
	}
	if kept != 5 {
		t.Error("the oldest attempts are not in the log")
	}
	stream, err := r.journal.js.Stream(t.Context(), AttemptStream)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for msg, err := range r.journal.scan(t.Context(), AttemptStream, consumeAll()) {
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(msg.Data, []byte("\n"))
		if len(msg.Data) > attemptMessage+4<<10 {
			t.Errorf("a message of %d bytes", len(msg.Data))
		}
	}
	if lines != n-dropped {
		t.Errorf("%d attempts in %d messages, want the %d that were not dropped", lines, stream.CachedInfo().State.Msgs, n-dropped)
	}
}

// Without a log of attempts, as before the first run of a relay that keeps one, there are none.
func TestNoAttemptsYet(t *testing.T) {
	r := newRig(t, t.TempDir())
	if got := r.attemptsOf("trt_1"); len(got) > 0 {
		t.Errorf("attempts %v", got)
	}
}

// Both run beside each other: what several goroutines add is all there.
func TestAttemptsOfSeveral(t *testing.T) {
	r := newRig(t, t.TempDir())
	l, stop := r.attempts()
	var adders sync.WaitGroup
	for g := range 8 {
		adders.Go(func() {
			for i := range 500 {
				l.Add(Attempt{Sink: fmt.Sprint("sink", g), Events: []string{"trt_x"}, Status: i})
			}
		})
	}
	adders.Wait()
	stop()
	bySink := make(map[string][]int)
	for _, a := range r.attemptsOf("trt_x") {
		bySink[a.Sink] = append(bySink[a.Sink], a.Status)
	}
	for sink, statuses := range bySink {
		if len(statuses) != 500 || !slices.IsSorted(statuses) {
			t.Errorf("%s has %d attempts, want 500 in order", sink, len(statuses))
		}
	}
	if len(bySink) != 8 {
		t.Errorf("attempts of %d sinks, want 8", len(bySink))
	}
}
