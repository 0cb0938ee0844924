package stdout_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

func openStdout(t *testing.T, w io.Writer) pipeline.Sink {
	t.Helper()
	sink, err := sinks.Open(t.Context(), sinks.NewConfig("stdout"), sinks.Env{Name: "console", Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// writes records each Write, and fails when it is closed, for it is not the sink's to close.
type writes struct {
	mu  sync.Mutex
	all []string
	t   *testing.T
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func (w *writes) Close() error {
	w.t.Error("the sink closed a writer it does not own")
	return nil
}

func TestStdoutWritesEachEventAtOnce(t *testing.T) {
	w := &writes{t: t}
	sink := openStdout(t, w)
	records := sinktest.UnusualRecords("mystream")
	if n, err := sink.Deliver(t.Context(), records); n != len(records) || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if w.all[i] != string(r.Line)+"\n" {
			t.Fatalf("write %d is %.200q", i, w.all[i])
		}
	}
	if len(w.all) != len(records) {
		t.Errorf("%d writes for %d events", len(w.all), len(records))
	}
	if n, err := sink.Deliver(t.Context(), records); n != 0 || err == nil {
		t.Errorf("Deliver after Close = %d, %v", n, err)
	}
}

func TestStdoutWithoutAReader(t *testing.T) {
	pipe := func(t *testing.T) io.Writer {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		_ = r.Close()
		return w
	}
	memory := func(*testing.T) io.Writer {
		r, w := io.Pipe()
		_ = r.Close()
		return w
	}
	closed := func(t *testing.T) io.Writer {
		t.Helper()
		w, err := os.Create(t.TempDir() + "/out")
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		return w
	}
	for name, writer := range map[string]func(*testing.T) io.Writer{
		"a pipe": pipe, "a pipe in memory": memory, "a closed file": closed,
	} {
		t.Run(name, func(t *testing.T) {
			sink := openStdout(t, writer(t))
			for range 2 {
				n, err := sink.Deliver(t.Context(), sinktest.Plain("mystream", 2))
				if n != 0 || !errors.Is(err, pipeline.ErrSinkClosed) {
					t.Errorf("Deliver = %d, %v, want %v", n, err, pipeline.ErrSinkClosed)
				}
			}
		})
	}
}

// full takes some bytes, then fails for once.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if f.room >= 0 && len(p) > f.room {
		n, _ := f.Buffer.Write(p[:f.room])
		f.room = -1
		return n, syscall.ENOSPC
	}
	return f.Buffer.Write(p)
}

func TestStdoutNeverJoinsLines(t *testing.T) {
	records := sinktest.Plain("mystream", 2)
	first := len(records[0].Line)
	for name, room := range map[string]int{
		"nothing written": 0, "half a line": first / 2, "all but the line break": first,
	} {
		t.Run(name, func(t *testing.T) {
			w := &full{room: room}
			sink := openStdout(t, w)
			n, err := sink.Deliver(t.Context(), records)
			if n != 0 || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, pipeline.ErrSinkClosed) || pipeline.IsPermanent(err) {
				t.Fatalf("Deliver to a full disk = %d, %v", n, err)
			}
			if n, err := sink.Deliver(t.Context(), records); n != 2 || err != nil {
				t.Fatalf("Deliver = %d, %v", n, err)
			}
			one, two := string(records[0].Line)+"\n", string(records[1].Line)+"\n"
			want := one + one + two
			if room == 0 {
				want = one + two
			}
			if w.String() != want {
				t.Errorf("written:\n%s", w.String())
			}
		})
	}
}

func TestStdoutCloseSaysThatItGaveUp(t *testing.T) {
	r, w := io.Pipe()
	sink, err := sinks.Open(t.Context(), sinks.NewConfig("stdout"), sinks.Env{Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := sink.Deliver(t.Context(), sinktest.Plain("mystream", 1))
		done <- err
	}()
	if _, err := r.Read(make([]byte, 1)); err != nil { // The write is under way.
		t.Fatal(err)
	}
	if err := sink.Close(); err == nil || !strings.Contains(err.Error(), "nobody reads it") {
		t.Errorf("Close = %v", err)
	}
	if err := <-done; err == nil {
		t.Error("Deliver under way says it has delivered")
	}
	_ = r.Close()
	if err := sink.Close(); err != nil {
		t.Errorf("Close after the reader left = %v", err)
	}
}

func TestStdoutNeedsAWriter(t *testing.T) {
	if _, err := sinks.Open(t.Context(), sinks.NewConfig("stdout"), sinks.Env{}); err == nil {
		t.Error("Open without a writer succeeded")
	}
}
