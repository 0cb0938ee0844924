// Package attempts stores a record of every attempt to deliver an event. The record is a log of its own beside the
// journal, with its own retention, and may lose its newest entries in a crash. It never delays a delivery. Start
// reading at [Log.Add] and [Reader].
package attempts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Retention is how long the log keeps attempts.
const Retention = 30 * 24 * time.Hour

const (
	// flushEvery is how often attempts are written. A process that is killed loses the attempts of this interval.
	flushEvery = 100 * time.Millisecond
	// chunkBytes is the approximate size of an entry's lines. A full chunk is written at once.
	chunkBytes = 256 << 10
	// bufferBytes bounds the memory for attempts that are not written yet.
	bufferBytes = 8 << 20
	// spareChunks is how many chunks are kept for reuse.
	spareChunks = 3
	// maxText bounds the answer and the error of an attempt, each in bytes.
	maxText = 1 << 10
	// maxEvents bounds the event ids of an attempt.
	maxEvents = journal.MaxBatch
	// closeGrace bounds the last write after Close or the end of the context.
	closeGrace = time.Second
	// retainEvery is how often attempts older than Retention are dropped.
	retainEvery = time.Hour
)

// Config configures an [Log].
type Config struct {
	// Log stores the attempts. It may lose its newest entries in a power failure, and must not keep an entry's data after
	// Append returns. The caller closes it.
	Log     journal.Log
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics // nil: no metrics
}

// Log records every attempt to deliver and keeps it for [Retention]. It never blocks a delivery: attempts are buffered and
// written in the background, many in an entry, one line of JSON each. A process that is killed loses at most the attempts
// of the last 100 ms, and nothing else. Its methods are safe for concurrent use.
type Log struct {
	cfg     Config
	newest  map[string]uint64 // by sink, the entry with its newest attempts; owned by Run
	data    []byte            // reused for each entry; owned by Run
	full    chan struct{}     // signals a full chunk
	closing chan struct{}     // closed by Close
	close   sync.Once

	mu      sync.Mutex
	pending []*chunk // oldest first; new lines go to the last one
	spare   []*chunk // for reuse
	size    int      // bytes of the chunks that wait or are being written
	dropped bool     // the loss of attempts was logged
}

// A chunk has lines that wait to be written.
type chunk struct {
	lines []byte
	count int
	sinks []string // whose attempts they are, without repeats
}

// Open opens the log of attempts. Nothing is written until the caller runs [Log.Run].
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l := &Log{cfg: cfg, full: make(chan struct{}, 1), closing: make(chan struct{}), newest: make(map[string]uint64)}
	last, ok, err := journal.NewestRecord(ctx, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("open the log of attempts: %w", err)
	}
	if !ok {
		return l, nil
	}
	table, lines, err := decode(last.Data)
	if err == nil {
		err = eachAttempt(lines, func([]byte) bool { return true }, func(a pipeline.Attempt) bool {
			table[a.Sink] = last.Number
			return true
		})
	}
	if err != nil {
		cfg.Logger.Warn().Err(err).Uint64("number", last.Number).Msg("newest entry in the log of attempts cannot be read; it is left as it is")
		return l, nil
	}
	l.newest = table
	return l, nil
}

// Add records an attempt. It never blocks: when the buffer is full, the attempt is dropped and counted.
func (l *Log) Add(a pipeline.Attempt) {
	a.Time = a.Time.UTC()
	a.Answer, a.Error = truncate(a.Answer), truncate(a.Error)
	a.Events = a.Events[:min(len(a.Events), maxEvents)]
	if y := a.Time.Year(); y < 0 || y > 9999 { // RFC 3339 has no such year
		l.drop(1, errTime)
		return
	}
	if !l.add(&a) {
		l.drop(1, errBufferFull)
	}
}

var (
	errBufferFull = errors.New("too many wait to be written")
	errTime       = errors.New("its time cannot be written")
)

func (l *Log) add(a *pipeline.Attempt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		l.pending = append(l.pending, l.fresh())
	}
	last := l.pending[len(l.pending)-1]
	before := len(last.lines)
	last.lines = appendLine(last.lines, a)
	added := len(last.lines) - before
	if l.size+added > bufferBytes {
		last.lines = last.lines[:before]
		return false
	}
	l.size += added
	last.count++
	if n := len(last.sinks); (n == 0 || last.sinks[n-1] != a.Sink) && !slices.Contains(last.sinks, a.Sink) {
		last.sinks = append(last.sinks, a.Sink)
	}
	if len(last.lines) >= chunkBytes {
		l.pending = append(l.pending, l.fresh())
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
	return true
}

// fresh returns an empty chunk. l.mu is held.
func (l *Log) fresh() *chunk {
	n := len(l.spare)
	if n == 0 {
		return new(chunk)
	}
	c := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return c
}

// truncate shortens text to maxText bytes of valid UTF-8.
func truncate(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "")
}

// drop counts n lost attempts. The first loss is logged.
func (l *Log) drop(n int, err error) {
	if l.cfg.Metrics != nil {
		l.cfg.Metrics.AttemptsDropped.Add(float64(n))
	}
	l.mu.Lock()
	logged := l.dropped
	l.dropped = true
	l.mu.Unlock()
	if !logged {
		l.cfg.Logger.Warn().Err(err).Msg("log of attempts is incomplete; deliveries continue, and relay_attempts_dropped_total counts the missing attempts")
	}
}

// Close ends the log: [Log.Run] writes the buffered attempts and returns. Add must not be called afterwards.
func (l *Log) Close() { l.close.Do(func() { close(l.closing) }) }

// Run writes attempts until [Log.Close] or the end of ctx, then spends up to a second on attempts that are still buffered. It
// retries a failed write. Call it once.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	retain := time.NewTicker(retainEvery)
	defer retain.Stop()
	l.retain(ctx)
	for {
		select {
		case <-tick.C:
			l.flush(ctx)
		case <-l.full:
			l.flush(ctx)
		case <-retain.C:
			l.retain(ctx)
		case <-ctx.Done():
		case <-l.closing:
		}
		if ctx.Err() != nil || closed(l.closing) {
			grace, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), closeGrace, errClosing)
			defer cancel()
			l.flush(grace)
			return
		}
	}
}

var errClosing = errors.New("relay stops")

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// retain drops attempts older than Retention.
func (l *Log) retain(ctx context.Context) {
	if err := l.cfg.Log.DropBefore(ctx, time.Now().Add(-Retention)); err != nil && ctx.Err() == nil {
		l.cfg.Logger.Warn().Err(err).Msg("old attempts cannot be dropped from their log now; trying again in an hour")
	}
}

// flush writes the buffered attempts. It retries until it succeeds, the log is closed or ctx ends.
func (l *Log) flush(ctx context.Context) {
	l.mu.Lock()
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	var lost int
	var lostErr error
	for _, c := range pending {
		err := lostErr
		if err == nil && c.count > 0 {
			err = l.write(ctx, c)
		}
		if err != nil {
			lost, lostErr = lost+c.count, err
		}
		l.release(c)
	}
	if lost > 0 {
		l.drop(lost, lostErr)
	}
}

// release frees a chunk that is written or lost.
func (l *Log) release(c *chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size -= len(c.lines)
	if len(l.spare) < spareChunks {
		clear(c.sinks)
		c.lines, c.sinks, c.count = c.lines[:0], c.sinks[:0], 0
		l.spare = append(l.spare, c)
	}
}

// write writes a chunk as one entry. It fails only if ctx ends or the log is closed first.
func (l *Log) write(ctx context.Context, c *chunk) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(flushEvery), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	l.data = encode(l.data[:0], l.newest, c.lines)
	entry := journal.Entry{Kind: journal.AttemptLines, ID: "att_" + rand.Text()[:22], Time: time.Now().UTC(), Data: l.data}
	for {
		numbers, err := l.cfg.Log.Append(ctx, []journal.Entry{entry})
		if err == nil {
			for _, sink := range c.sinks {
				l.newest[sink] = numbers[0]
			}
			return nil
		}
		l.cfg.Logger.Debug().Err(err).Msg("log of attempts cannot be written now")
		pause := time.NewTimer(wait.NextBackOff())
		select {
		case <-ctx.Done():
		case <-l.closing:
		case <-pause.C:
			continue
		}
		pause.Stop()
		return err
	}
}
