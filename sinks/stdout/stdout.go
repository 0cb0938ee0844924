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

// Config configures a stdout sink. It has no keys.
type Config struct{}

// NewConfig returns the default configuration.
func NewConfig() *Config {
	return new(Config)
}

// Validate returns nil: there is nothing to check.
func (*Config) Validate() error { return nil }

// Concurrency returns 0, for no limit.
func (*Config) Concurrency() int { return 0 }

// CheckFiles returns nil: there are no files.
func (*Config) CheckFiles() error { return nil }

// Unchecked returns why relay doctor has no check for this sink.
func (*Config) Unchecked() string {
	return "whoever reads standard output is there, or relay could not write to it"
}

// Env has the dependencies of the sink on the process it runs in.
type Env struct {
	Out     io.Writer // must not buffer
	Attempt outcome.AttemptLog
}

// Open creates the sink, which writes to env.Out and never closes it.
func (*Config) Open(_ context.Context, env Env) (pipeline.Sink, error) {
	if env.Out == nil {
		return nil, errors.New("open stdout sink: no writer was handed in")
	}
	return newSink(env.Out, env.Attempt), nil
}

// closeWait is how long Close waits for a blocked write.
const closeWait = time.Second

// keptBuffer is the maximum capacity of a line buffer that is reused.
const keptBuffer = 64 << 10

// sink passes lines to one goroutine, the only one that uses the writer. A write to a pipe that nobody reads cannot be
// interrupted, so Deliver waits for the goroutine only until its context ends. At most one line is then written without
// being counted, and delivered again with the same ID.
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
	l := line{text, written} // outlives this call if the reader stalls; nobody changes it
	select {
	case s.lines <- l:
	case <-s.closing:
		return outcome.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("the reader does not read: %w", context.Cause(ctx))
	}
	select {
	case err := <-written:
		return err
	case <-s.closing:
		return outcome.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("the reader does not read: %w", context.Cause(ctx))
	}
}

// write writes one line at a time until Close. It writes the rest of a failed line before the next one, so that no two
// lines run together.
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
				end = len(rest) // nothing of the line itself was written
			}
			rest = append(rest[:0], text[n:end]...)
			l.written <- gone(err)
		}
	}
}

// gone maps the errors of a writer whose reader is gone to [pipeline.ErrSinkClosed].
func gone(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return fmt.Errorf("%w: %w", pipeline.ErrSinkClosed, err)
	}
	return err
}

// Close stops the writing goroutine and waits for it, but at most a second. A write that nobody reads continues until
// the reader takes it or the process ends; Close then returns an error.
func (s *sink) Close() error {
	s.close.Do(func() { close(s.closing) })
	wait := time.NewTimer(closeWait)
	defer wait.Stop()
	select {
	case <-s.ended:
		return nil
	case <-wait.C:
		return errors.New("close stdout: the last line is still being written, because nobody reads it")
	}
}
