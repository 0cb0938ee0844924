package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/pipeline/intake"
)

// readers reads the events of a running relay over http.listen, with a key of an overlay.
type readers struct {
	t         *testing.T
	client    *api.Client
	base, key string
	http      *http.Client
}

// newReaders makes a key. base is the URL of the pages.
func (w *world) newReaders(base string) *readers {
	w.t.Helper()
	client := w.client()
	key, err := client.NewOverlayKey(w.t.Context(), "main", api.KeyRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if tcp, ok := c.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(16 << 10) // so that a reader that does not read is soon slow
		}
		return c, err
	}}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &readers{t: w.t, client: client, base: base, key: key.Key, http: &http.Client{Transport: transport}}
}

// open opens a stream that continues after an event; negative: it begins with the next one. It returns once the stream has begun, with the
// number of the event before it.
func (r *readers) open(ctx context.Context, after int) (resp *http.Response, stream *bufio.Reader, at uint64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+api.Root+"/events", http.NoBody)
	if err != nil {
		return nil, nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	if after >= 0 {
		req.Header.Set("Last-Event-ID", strconv.Itoa(after))
	}
	if resp, err = r.http.Do(req); err != nil {
		return nil, nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, 0, errors.Join(fmt.Errorf("the stream answers %s", resp.Status), resp.Body.Close())
	}
	stream = bufio.NewReader(resp.Body)
	var first strings.Builder
	for !strings.HasSuffix(first.String(), "\n\n") {
		line, err := stream.ReadString('\n')
		first.WriteString(line)
		if err != nil {
			return nil, nil, 0, errors.Join(err, resp.Body.Close())
		}
	}
	for e, err := range sse.Read(strings.NewReader(first.String()), nil) {
		if err == nil && e.Type == api.StreamPosition {
			at, err = strconv.ParseUint(e.LastEventID, 10, 64)
		}
		return resp, stream, at, err
	}
	return nil, nil, 0, errors.Join(fmt.Errorf("the stream begins with %q", first.String()), resp.Body.Close())
}

// read returns the numbers of the next n events, or of those before the end of the stream.
func read(stream io.Reader, n int) (numbers []uint64, err error) {
	for e, err := range sse.Read(stream, &sse.ReadConfig{MaxEventSize: 4 << 20}) {
		if err != nil {
			return numbers, err
		}
		number, err := strconv.ParseUint(e.LastEventID, 10, 64)
		if err != nil || e.Type != "" {
			return numbers, fmt.Errorf("an event %q with the id %q: %w", e.Type, e.LastEventID, err)
		}
		if numbers = append(numbers, number); len(numbers) == n {
			return numbers, nil
		}
	}
	return numbers, io.EOF
}

// metric returns a metric of relay.
func (r *readers) metric(name string) float64 {
	r.t.Helper()
	resp, err := http.Get(r.base + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return n
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

// memory returns what relay takes in KiB: the heap in use with what is free in its spans, and the stacks.
func (r *readers) memory() float64 {
	return (r.metric("go_memstats_heap_inuse_bytes") + r.metric("go_memstats_stack_inuse_bytes")) / 1024
}

// established reports whether the other end of a connection, which is on this machine, is still open.
func established(t *testing.T, c net.Conn) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := func(a net.Addr) string {
		tcp, ok := a.(*net.TCPAddr)
		if !ok {
			t.Fatalf("a connection at %v", a)
		}
		return fmt.Sprintf(":%04X", tcp.Port)
	}
	for line := range strings.Lines(string(table)) { // number, local and remote address, state
		f := strings.Fields(line)
		if strings.HasSuffix(f[1], port(c.RemoteAddr())) && strings.HasSuffix(f[2], port(c.LocalAddr())) {
			return f[3] == "01"
		}
	}
	return false
}

// journaled is how many events each reader gets.
const journaled = 50

// A thousand readers get every event once and in order, those that catch up too, and relay keeps little for each.
func TestManyReaders(t *testing.T) {
	const count, mostKiB = 1000, 128
	w := newWorld(t, simulatedRealtime)
	base := strings.TrimSuffix(w.onHTTP(), "/readyz")
	w.login()
	p := w.start("--sink", "bot")
	w.connected()
	r := w.newReaders(base)
	before := r.memory()
	ctx, stop := context.WithTimeoutCause(t.Context(), 3*time.Minute, errors.New("not every reader has all events"))
	defer stop()
	var opened, read1, all sync.WaitGroup
	opened.Add(count)
	read1.Add(count)
	fail := func(i int, err error) { t.Errorf("reader %d: %v", i, errors.Join(err, context.Cause(ctx))) }
	for i := range count {
		all.Go(func() {
			once, had := sync.OnceFunc(opened.Done), sync.OnceFunc(read1.Done)
			defer once()
			defer had()
			resp, stream, at, err := r.open(ctx, -1)
			if err != nil {
				fail(i, err)
				return
			}
			defer resp.Body.Close()
			once()
			numbers, err := read(stream, journaled)
			if err != nil {
				fail(i, err)
				return
			}
			for k, n := range numbers {
				if n != at+1+uint64(k) {
					fail(i, fmt.Errorf("after %d it got %v", at, numbers))
					break
				}
			}
			had()
			<-ctx.Done() // it stays
		})
	}
	opened.Wait()
	idle := r.memory()
	w.live.emit(0, journaled)
	holds(t, "the webhook", w.bot.lines, 0, journaled)
	read1.Wait()
	busy := r.memory()
	t.Logf("KiB for each reader: %.1f idle, %.1f after %d events", (idle-before)/count, (busy-before)/count, journaled)
	if each := (max(idle, busy) - before) / count; each > mostKiB {
		t.Errorf("a reader takes %.1f KiB, want at most %d", each, mostKiB)
	}
	stop()
	all.Wait()
	p.stop()
}

// put journals test treats with a message of that size.
func (r *readers) put(count, size int) {
	r.t.Helper()
	norm := intake.Normalizer{Account: "mystream", Provider: "treatstream", Location: time.UTC}
	for range count {
		e := norm.TestEvent(time.Now(), "relay", "Tea", strings.Repeat("x", size))
		line, err := e.Line()
		if err == nil {
			err = r.client.PutTest(r.t.Context(), &api.TestRequest{Event: api.Line(line)})
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// Many readers that do not read, each at another treat of nearly 1 MiB, take little memory, and do not keep others from getting every event.
func TestSlowReadersOfLargeTreats(t *testing.T) {
	const slow, count, mostMiB = 120, 24, 200
	w := newWorld(t, simulatedRealtime)
	base := strings.TrimSuffix(w.onHTTP(), "/readyz")
	w.login()
	p := w.start("--sink", "overlay")
	w.connected()
	r := w.newReaders(base)
	first, _, at, err := r.open(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	r.put(count, 1_000_000)
	for i := range slow {
		resp, _, _, err := r.open(t.Context(), int(at)+i%count)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	quick, stream, _, err := r.open(t.Context(), int(at))
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Body.Close()
	if all, err := read(stream, count); err != nil || !slices.IsSorted(all) {
		t.Errorf("the quick reader: %v, %v", all, err)
	}
	kib := peakMemory(t, p)
	t.Logf("%d MiB of resident memory at most, with %d readers", kib>>10, slow)
	if kib > mostMiB<<10 {
		t.Errorf("%d MiB of resident memory, want at most %d", kib>>10, mostMiB)
	}
	p.stop()
}

// A reader that does not read is dropped. It resumes after the last event that it has, without a gap and without a double. Meanwhile others get
// every event.
func TestSlowReader(t *testing.T) {
	const count, size = 120, 100 << 10 // more than the kernel buffers
	w := newWorld(t, simulatedRealtime)
	base := strings.TrimSuffix(w.onHTTP(), "/readyz")
	w.login()
	p := w.start("--sink", "overlay")
	w.connected()
	r := w.newReaders(base)
	var connection net.Conn
	traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { connection = i.Conn }})
	slow, stream, at, err := r.open(traced, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	other, quick, _, err := r.open(t.Context(), int(at))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Body.Close()
	r.put(count, size)
	all, err := read(quick, count) // other entries of the journal may have numbers in between
	if err != nil || !slices.IsSorted(all) || all[0] <= at {
		t.Errorf("the quick reader: %d events, from %v after %d, %v", len(all), all[:min(len(all), 3)], at, err)
	}
	began := time.Now()
	eventually(t, func() error {
		if established(t, connection) {
			return errors.New("the slow reader is not dropped")
		}
		return nil
	})
	dropped := time.Since(began)
	numbers, err := read(stream, count)
	if err == nil {
		t.Fatal("the slow reader gets everything: the events are too small for this test")
	}
	last := int(at)
	if len(numbers) > 0 {
		last = int(numbers[len(numbers)-1])
	}
	again, rest, from, err := r.open(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	if int(from) != last {
		t.Errorf("it resumes after %d, want %d", from, last)
	}
	more, err := read(rest, count-len(numbers))
	if err != nil {
		t.Fatal(err)
	}
	if got := append(numbers, more...); !slices.Equal(got, all) {
		t.Fatalf("the slow reader got %v, the quick one %v", got, all)
	}
	t.Logf("dropped after %d of %d events, and %v", len(numbers), count, dropped)
	p.stop()
}
