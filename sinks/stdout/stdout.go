package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Config configures a stdout sink, which writes every event as one line of JSON. It has no keys.
type Config struct{}

// NewConfig returns a configuration with its defaults filled in.
func NewConfig() *Config {
	return new(Config)
}

// Validate has nothing to check.
func (*Config) Validate() error { return nil }

// Concurrency is how many deliveries at a time suit such a destination; 0 is any number.
func (*Config) Concurrency() int { return 0 }

// CheckFiles has nothing to check.
func (*Config) CheckFiles() error { return nil }

// Unchecked says why there is no check of the destination.
func (*Config) Unchecked() string {
	return "whoever reads standard output is there, or relay could not write to it"
}

// Env is what the sink uses of the process it runs in.
type Env struct {
	Out     io.Writer // must not hold data back
	Attempt outcome.AttemptLog
}

// Open makes the sink, which writes to env.Out and never closes it.
func (*Config) Open(_ context.Context, env Env) (pipeline.Sink, error) {
	if env.Out == nil {
		return nil, errors.New("open stdout sink: no writer was handed in")
	}
	return newSink(env.Out, env.Attempt), nil
}

// closeWait is how long Close waits for a write that the reader does not take.
const closeWait = time.Second

// keptBuffer is how large a buffer for a line is kept for the next one.
const keptBuffer = 64 << 10

// sink hands lines to one goroutine that alone touches the writer. A write to a pipe that nobody reads cannot be
// interrupted, so Deliver waits for the goroutine and leaves it behind when its context ends: at most one line is then
// written without being counted, and comes again with the same id.
type sink struct {
	lines   chan line
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed by the writing goroutine
	close   sync.Once
	attempt outcome.AttemptLog
}

type line struct {
	text    []byte
	written chan<- error // buffered
}

func newSink(w io.Writer, attempt outcome.AttemptLog) *sink {
	s := &sink{lines: make(chan line), closing: make(chan struct{}), ended: make(chan struct{}), attempt: attempt}
	go s.write(w)
	return s
}

// Deliver implements [pipeline.Sink].
func (s *sink) Deliver(ctx context.Context, records []pipeline.Record) (accepted int, err error) {
	start := time.Now()
	defer func() { s.attempt.AddBatch("stdout", start, records, accepted, err) }()
	for i, r := range records {
		if ctx.Err() != nil {
			return i, fmt.Errorf("write event %s to stdout: %w", r.ID, context.Cause(ctx))
		}
		if err := s.deliver(ctx, r.Line); err != nil {
			return i, outcome.Unavailable(fmt.Errorf("write event %s to stdout: %w", r.ID, err))
		}
	}
	return len(records), nil
}

func (s *sink) deliver(ctx context.Context, text []byte) error {
	written := make(chan error, 1)
	l := line{text, written} // it outlives this call when the reader stalls; nobody changes it
	select {
	case s.lines <- l:
	case <-s.closing:
		return outcome.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("the reader does not take it: %w", context.Cause(ctx))
	}
	select {
	case err := <-written:
		return err
	case <-s.closing:
		return outcome.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("the reader does not take it: %w", context.Cause(ctx))
	}
}

// write writes one line at a time until Close. What a failed write left of a line goes out before the next one, so
// that no two lines run together.
func (s *sink) write(w io.Writer) {
	defer close(s.ended)
	var rest, buffer []byte
	for {
		select {
		case <-s.closing:
			return
		case l := <-s.lines:
			text := append(append(append(buffer[:0], rest...), l.text...), '\n')
			buffer = text
			if cap(buffer) > keptBuffer {
				buffer = nil
			}
			n, err := w.Write(text)
			if err == nil && n < len(text) {
				err = io.ErrShortWrite
			}
			end := len(text)
			if n <= len(rest) {
				end = len(rest) // The line itself has not begun.
			}
			rest = append(rest[:0], text[n:end]...)
			l.written <- gone(err)
		}
	}
}

// gone turns the ways in which a writer says that its reader has left into [pipeline.ErrSinkClosed].
func gone(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return fmt.Errorf("%w: %w", pipeline.ErrSinkClosed, err)
	}
	return err
}

// Close ends the writing goroutine and waits for it, but not longer than a second: a write that nobody reads goes on
// until the reader takes it or the process ends, and Close says so.
func (s *sink) Close() error {
	s.close.Do(func() { close(s.closing) })
	wait := time.NewTimer(closeWait)
	defer wait.Stop()
	select {
	case <-s.ended:
		return nil
	case <-wait.C:
		return errors.New("close stdout: the last line is still being written, for the reader does not take it")
	}
}
