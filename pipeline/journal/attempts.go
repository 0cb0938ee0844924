package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// AttemptRetention is how long attempts are kept.
const AttemptRetention = 30 * 24 * time.Hour

const (
	// attemptEvery is how often attempts are written, and so what a killed process loses of them.
	attemptEvery = 100 * time.Millisecond
	// attemptChunk is how many bytes of lines an entry holds, about. One that is full is written at once.
	attemptChunk = 256 << 10
	// attemptBuffer bounds what waits to be written.
	attemptBuffer = 8 << 20
	// attemptSpare is how many buffers are kept for later.
	attemptSpare = 3
	// attemptText bounds the answer and the error of an attempt, in bytes.
	attemptText = 1 << 10
	// attemptEvents bounds the ids of an attempt.
	attemptEvents = MaxBatch
	// attemptGrace is for the last write of a log whose context has ended.
	attemptGrace = time.Second
	// attemptRetain is how often old attempts are dropped.
	attemptRetain = time.Hour
)

// AttemptConfig configures an [AttemptLog].
type AttemptConfig struct {
	// Log is a log of its own, which may lose its newest entries when the power fails. It holds on to nothing of an entry once Append has
	// returned. It stays the caller's to close.
	Log     Log
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics // nil: nothing is counted
}

// AttemptLog keeps every attempt to deliver for [AttemptRetention]. It never holds up who makes the attempts: they are written
// behind, many at a time, in entries that hold one line of JSON an attempt. So a process that is killed loses the last tenth of
// a second of the log, and of nothing else.
type AttemptLog struct {
	cfg     AttemptConfig
	newest  map[string]uint64 // the entry that holds the newest attempts of each sink; of Run, as is data
	data    []byte            // used again for each entry
	full    chan struct{}     // a chunk is full
	closing chan struct{}     // closed by Close
	close   sync.Once

	mu      sync.Mutex
	pending []*attemptLines // oldest first; to the last one lines are added
	spare   []*attemptLines // to be used again
	size    int             // of those that wait and those under way
	dropped bool            // it was said that attempts are lost
}

// attemptLines are lines that wait to be written.
type attemptLines struct {
	lines []byte
	count int
	sinks []string // whose attempts they are
}

// OpenAttemptLog opens the log of attempts on a log that is open. [AttemptLog.Run] must run.
func OpenAttemptLog(ctx context.Context, cfg AttemptConfig) (*AttemptLog, error) {
	l := &AttemptLog{cfg: cfg, full: make(chan struct{}, 1), closing: make(chan struct{}), newest: make(map[string]uint64)}
	last, ok, err := newest(ctx, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("open the log of attempts: %w", err)
	}
	if !ok {
		return l, nil
	}
	table, lines, err := decodeAttempts(last.Data)
	if err == nil {
		err = attemptsIn(lines, func([]byte) bool { return true }, func(a pipeline.Attempt) bool {
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

// Add records an attempt. It does not wait: while too many attempts wait to be written, it counts this one as dropped.
func (l *AttemptLog) Add(a pipeline.Attempt) {
	a.Time = a.Time.UTC()
	a.Answer, a.Error = cut(a.Answer), cut(a.Error)
	a.Events = a.Events[:min(len(a.Events), attemptEvents)]
	if y := a.Time.Year(); y < 0 || y > 9999 { // there is no such attempt
		l.drop(1, errAttemptTime)
		return
	}
	if !l.add(&a) {
		l.drop(1, errAttemptsWait)
	}
}

var (
	errAttemptsWait = errors.New("too many wait to be written")
	errAttemptTime  = errors.New("its time cannot be written")
)

func (l *AttemptLog) add(a *pipeline.Attempt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		l.pending = append(l.pending, l.fresh())
	}
	last := l.pending[len(l.pending)-1]
	before := len(last.lines)
	last.lines = appendAttempt(last.lines, a)
	added := len(last.lines) - before
	if l.size+added > attemptBuffer {
		last.lines = last.lines[:before]
		return false
	}
	l.size += added
	last.count++
	if n := len(last.sinks); (n == 0 || last.sinks[n-1] != a.Sink) && !slices.Contains(last.sinks, a.Sink) {
		last.sinks = append(last.sinks, a.Sink)
	}
	if len(last.lines) >= attemptChunk {
		l.pending = append(l.pending, l.fresh())
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
	return true
}

// fresh returns lines to be filled. The lock is held.
func (l *AttemptLog) fresh() *attemptLines {
	n := len(l.spare)
	if n == 0 {
		return new(attemptLines)
	}
	c := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return c
}

// cut makes text fit into an attempt.
func cut(text string) string {
	if len(text) > attemptText {
		text = text[:attemptText]
	}
	return strings.ToValidUTF8(text, "")
}

// drop counts n attempts that are lost, and says so once.
func (l *AttemptLog) drop(n int, err error) {
	if l.cfg.Metrics != nil {
		l.cfg.Metrics.AttemptsDropped.Add(float64(n))
	}
	l.mu.Lock()
	said := l.dropped
	l.dropped = true
	l.mu.Unlock()
	if !said {
		l.cfg.Logger.Warn().Err(err).Msg("log of attempts is incomplete; deliveries go on, relay_attempts_dropped_total counts what is missing")
	}
}

// Close says that no more is added: [AttemptLog.Run] writes what waits and returns.
func (l *AttemptLog) Close() { l.close.Do(func() { close(l.closing) }) }

// Run writes what is added until [AttemptLog.Close] or the end of ctx, and then the rest, if that takes no longer than a second.
// A write that fails is tried again meanwhile. It is to be called once.
func (l *AttemptLog) Run(ctx context.Context) {
	tick := time.NewTicker(attemptEvery)
	defer tick.Stop()
	retain := time.NewTicker(attemptRetain)
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
			grace, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), attemptGrace, errAttemptGrace)
			defer cancel()
			l.flush(grace)
			return
		}
	}
}

var errAttemptGrace = errors.New("relay stops")

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// retain drops old attempts.
func (l *AttemptLog) retain(ctx context.Context) {
	if err := l.cfg.Log.DropBefore(ctx, time.Now().Add(-AttemptRetention)); err != nil && ctx.Err() == nil {
		l.cfg.Logger.Warn().Err(err).Msg("old attempts cannot be dropped from their log now; trying again in an hour")
	}
}

// flush writes what waits, and tries until it succeeds, the log is closed or ctx ends.
func (l *AttemptLog) flush(ctx context.Context) {
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

// release takes lines off that are written or lost.
func (l *AttemptLog) release(c *attemptLines) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size -= len(c.lines)
	if len(l.spare) < attemptSpare {
		clear(c.sinks)
		c.lines, c.sinks, c.count = c.lines[:0], c.sinks[:0], 0
		l.spare = append(l.spare, c)
	}
}

// write writes lines as one entry. The error is not nil if ctx ended, or the log was closed, before it could.
func (l *AttemptLog) write(ctx context.Context, c *attemptLines) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(attemptEvery), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	l.data = encodeAttempts(l.data[:0], l.newest, c.lines)
	entry := Entry{Kind: AttemptLines, ID: newID("att_"), Time: time.Now().UTC(), Data: l.data}
	for {
		numbers, err := l.cfg.Log.Append(ctx, []Entry{entry})
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
