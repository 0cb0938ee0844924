package attempts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
)

func TestAttemptsAreKept(t *testing.T) {
	const n = 5000
	r := newRig(t)
	l, stop := r.run()
	at := time.Date(2026, 7, 16, 21, 0, 0, 0, time.FixedZone("", 7200))
	for i := range n {
		a := pipeline.Attempt{Time: at, Sink: fmt.Sprint("sink", i%3), Events: []string{fmt.Sprint("trt_", i), "trt_all"}, Endpoint: "https://bot.example", Latency: time.Duration(i)}
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
	if len(a.Error) > attempts.MaxText || len(a.Error) < attempts.MaxText-utf8.UTFMax || !utf8.ValidString(a.Error) {
		t.Errorf("an error of %d bytes, want about %d", len(a.Error), attempts.MaxText)
	}
	if got := len(r.attemptsOf("trt_all")); got != n {
		t.Errorf("%d attempts of the event that is in all, want %d", got, n)
	}
	if got := len(r.attemptsOf("trt_432")); got != 1 {
		t.Errorf("%d attempts of trt_432, want 1", got)
	}
	if entries := stacktest.ReadAll(t, r.Attempts); len(entries) > n/20 {
		t.Errorf("%d attempts make %d entries: they are to be written together", n, len(entries))
	}
	if got := r.Metric(t, "relay_attempts_dropped_total"); got != 0 {
		t.Errorf("%v attempts were dropped", got)
	}
	// Another process reads them.
	beside, err := filelog.OpenReader(t.Context(), filelog.Options{Dir: filepath.Join(r.dir, "attempts"), Log: stacktest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
	}()
	stacktest.Eventually(t, func() error { // it sees what is synced, which is done behind
		if a, b := len(stacktest.ReadAll(t, beside)), len(stacktest.ReadAll(t, r.Attempts)); a != b {
			return fmt.Errorf("another process reads %d entries of %d", a, b)
		}
		return nil
	})
}

// Attempts beyond the bound of the buffer are dropped and counted. That is logged once, and Add never blocks.
func TestAttemptsBeyondTheBuffer(t *testing.T) {
	r := newRig(t)
	var said bytes.Buffer
	r.Registry = prometheus.NewRegistry()
	l, err := attempts.Open(t.Context(), attempts.Config{Log: r.Attempts, Logger: zerolog.New(&said), Metrics: pipeline.NewMetrics(r.Registry)})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	for i := range n { // nobody writes them
		l.Add(pipeline.Attempt{Sink: "bot", Events: []string{fmt.Sprint("trt_", i)}, Error: strings.Repeat("e", 1000)})
	}
	l.Close()
	l.Run(t.Context())
	dropped := int(r.Metric(t, "relay_attempts_dropped_total"))
	if dropped < n/2 || dropped >= n {
		t.Errorf("%d of %d attempts were dropped, want what exceeds %d bytes", dropped, n, attempts.BufferBytes)
	}
	if lines := strings.Count(said.String(), "\n"); lines != 1 {
		t.Errorf("%d lines about it, want 1:\n%s", lines, said.String())
	}
	for i := range 5 {
		if len(r.attemptsOf(fmt.Sprint("trt_", i))) == 0 {
			t.Error("the oldest attempts are not in the log")
		}
	}
	lines := 0
	for _, rec := range stacktest.ReadAll(t, r.Attempts) {
		text, err := attempts.Decode(rec.Data)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(text, []byte("\n"))
		if len(text) > attempts.ChunkBytes+4<<10 {
			t.Errorf("an entry of %d bytes", len(text))
		}
	}
	if lines != n-dropped {
		t.Errorf("%d attempts in the log, want the %d that were not dropped", lines, n-dropped)
	}
}

// Attempts that several goroutines add are all in the log.
func TestAttemptsOfSeveral(t *testing.T) {
	r := newRig(t)
	l, stop := r.run()
	var adders sync.WaitGroup
	for g := range 8 {
		adders.Go(func() {
			for i := range 500 {
				l.Add(pipeline.Attempt{Sink: fmt.Sprint("sink", g), Events: []string{"trt_x"}, Status: i})
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

// The line of an attempt is the JSON that encoding/json makes.
func TestAttemptLine(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "https://a.example", "a\"b\\", "<&>", "ö🍕", "\u2028\n\x00\x7f", "no"})
	rapid.Check(t, func(rt *rapid.T) {
		a := pipeline.Attempt{
			Time: time.Unix(rapid.Int64Range(0, 1<<33).Draw(rt, "time"), rapid.Int64Range(0, 1e9-1).Draw(rt, "ns")).UTC(),
			Sink: text.Draw(rt, "sink"), Events: rapid.SliceOfN(text, 0, 3).Draw(rt, "events"),
			Account: text.Draw(rt, "account"), Endpoint: text.Draw(rt, "endpoint"),
			Status: rapid.IntRange(0, 599).Draw(rt, "status"), Latency: time.Duration(rapid.Int64().Draw(rt, "latency")),
			Answer: text.Draw(rt, "answer"), Error: text.Draw(rt, "error"),
		}
		want, err := pipeline.EncodeJSON(a)
		if err != nil {
			rt.Fatal(err)
		}
		got := attempts.AppendLine(nil, &a)
		if string(got) != string(want)+"\n" {
			rt.Errorf("%s, want %s", got, want)
		}
		var back pipeline.Attempt
		if err := json.Unmarshal(got, &back); err != nil {
			rt.Error(err)
		}
	})
}

// BenchmarkAttempt is what the log of attempts costs for an attempt of one event, written to files.
func BenchmarkAttempt(b *testing.B) {
	log, err := filelog.Open(b.Context(), filelog.Options{Dir: b.TempDir(), NoSync: true, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	l, err := attempts.Open(b.Context(), attempts.Config{Log: log, Logger: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { l.Run(context.WithoutCancel(b.Context())) })
	ids := make([]string, 1000)
	for i := range ids {
		e := stacktest.Event("acc", pipeline.OriginLive, time.Now(), i)
		ids[i] = e.ID
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		l.Add(pipeline.Attempt{Time: time.Now(), Sink: "bot", Events: ids[n%1000 : n%1000+1], Endpoint: "https://bot.example", Status: 204, Latency: time.Duration(n)})
		n++
	}
	l.Close()
	running.Wait()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}

// A log that holds nothing, and one that is not there, have no attempts.
func TestNoAttemptsYet(t *testing.T) {
	r := newRig(t)
	if got := r.attemptsOf("trt_1"); len(got) > 0 {
		t.Errorf("attempts %v", got)
	}
	for a, err := range attempts.NewReader(nil).Of(t.Context(), "trt_1", time.Time{}) {
		t.Errorf("attempt %v, error %v", a, err)
	}
}

func FuzzDecodeAttempts(f *testing.F) {
	f.Add([]byte{})
	f.Add(attempts.Encode(map[string]uint64{"bot": 7, "": 0}, []byte("line\n")))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = attempts.Decode(b)
	})
}
