package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"
)

// The stream of the attempts, beside the journal, and its subjects. The last token is a sink.
const (
	AttemptStream  = "RELAY_ATTEMPTS"
	attemptSubject = "relay.attempt."
)

// AttemptRetention is how long attempts are kept.
const AttemptRetention = 30 * 24 * time.Hour

const (
	// attemptEvery is how often attempts are written, and so what a killed process loses of them.
	attemptEvery = 100 * time.Millisecond
	// attemptMessage is how large a message of attempts grows. One that is full is written at once.
	attemptMessage = 256 << 10
	// attemptBuffer bounds what waits to be written.
	attemptBuffer = 8 << 20
	// attemptText bounds the answer and the error of an attempt, in bytes.
	attemptText = 1 << 10
	// attemptEvents bounds the ids of an attempt.
	attemptEvents = MaxBatch
	// attemptGrace is for the last write of a log whose context has ended.
	attemptGrace = time.Second
)

// AttemptLog keeps every attempt to deliver for [AttemptRetention]. It never holds up who makes the attempts: they are written
// behind, many at a time, in messages that hold one line of JSON an attempt. So a process that is killed loses the last tenth of
// a second of the log, and of nothing else.
type AttemptLog struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	atomic  bool // the server commits batches
	revive  func() error
	log     zerolog.Logger
	metrics *Metrics
	full    chan struct{} // a message is full
	closing chan struct{} // closed by Close
	close   sync.Once

	mu      sync.Mutex
	pending map[string][]*bytes.Buffer // by sink: messages that wait, oldest first
	size    int                        // of these, and of those under way
	dropped bool                       // it was said that attempts are lost
}

// OpenAttemptLog creates the stream if it is absent. Of the configuration it uses all but Retention.
func OpenAttemptLog(ctx context.Context, cfg JournalConfig) (*AttemptLog, error) {
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("open the log of attempts: %w", err)
	}
	stream, err := js.Stream(ctx, AttemptStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: AttemptStream, Description: "Every attempt of relay to deliver. Private to relay.",
			Subjects: []string{attemptSubject + "*"}, Storage: jetstream.FileStorage, Compression: jetstream.S2Compression,
			MaxAge: AttemptRetention, Discard: jetstream.DiscardOld, AllowDirect: true, AllowAtomicPublish: true,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open the log of attempts, stream %s: %w", AttemptStream, err)
	}
	return &AttemptLog{
		nc: cfg.Conn, js: js, atomic: stream.CachedInfo().Config.AllowAtomicPublish,
		revive: cfg.Revive, log: cfg.Log, metrics: cfg.Metrics, full: make(chan struct{}, 1), closing: make(chan struct{}),
		pending: make(map[string][]*bytes.Buffer),
	}, nil
}

// Add takes an attempt down. It does not wait: while too many attempts wait to be written, it counts this one as dropped.
func (l *AttemptLog) Add(a Attempt) {
	a.Time = a.Time.UTC()
	a.Answer, a.Error = cut(a.Answer), cut(a.Error)
	a.Events = a.Events[:min(len(a.Events), attemptEvents)]
	line, err := EncodeJSON(a)
	if err != nil { // of a year beyond 9999: there is no such attempt
		l.drop(1, err)
		return
	}
	l.mu.Lock()
	if l.size+len(line)+1 > attemptBuffer {
		l.mu.Unlock()
		l.drop(1, errAttemptsWait)
		return
	}
	defer l.mu.Unlock()
	l.size += len(line) + 1
	waiting := l.pending[a.Sink]
	if len(waiting) == 0 || waiting[len(waiting)-1].Len()+len(line) >= l.messageSize() {
		if len(waiting) > 0 {
			select {
			case l.full <- struct{}{}:
			default:
			}
		}
		waiting = append(waiting, new(bytes.Buffer))
		l.pending[a.Sink] = waiting
	}
	last := waiting[len(waiting)-1]
	last.Write(line)
	last.WriteByte('\n')
}

var errAttemptsWait = errors.New("too many wait to be written")

// messageSize is how large a message may be.
func (l *AttemptLog) messageSize() int {
	if limit := l.nc.MaxPayload(); limit > 2*headroom {
		return min(attemptMessage, int(limit)-headroom)
	}
	return attemptMessage
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
	l.metrics.AttemptsDropped.Add(float64(n))
	l.mu.Lock()
	said := l.dropped
	l.dropped = true
	l.mu.Unlock()
	if !said {
		l.log.Warn().Err(err).Msg("log of attempts is incomplete; deliveries go on, relay_attempts_dropped_total counts what is missing")
	}
}

// Close says that no more is added: [AttemptLog.Run] writes what waits and returns.
func (l *AttemptLog) Close() { l.close.Do(func() { close(l.closing) }) }

// Run writes what is added until [AttemptLog.Close] or the end of ctx, and then the rest, if that takes no longer than a second.
// A write that fails is tried again meanwhile.
func (l *AttemptLog) Run(ctx context.Context) {
	tick := time.NewTicker(attemptEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush(ctx)
		case <-l.full:
			l.flush(ctx)
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

// flush writes what waits, and tries until it succeeds, the log is closed or ctx ends.
func (l *AttemptLog) flush(ctx context.Context) {
	l.mu.Lock()
	pending := l.pending
	l.pending = make(map[string][]*bytes.Buffer)
	l.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	var msgs []*nats.Msg
	size := 0
	for _, sink := range slices.Sorted(maps.Keys(pending)) {
		for _, lines := range pending[sink] {
			msg := nats.NewMsg(attemptSubject + sink)
			msg.Data = lines.Bytes()
			msg.Header.Set(jetstream.MsgIDHeader, "att_"+nuid.Next()) // for the retry of an unclear write
			msgs = append(msgs, msg)
			size += lines.Len()
		}
	}
	err := l.write(ctx, msgs)
	l.mu.Lock()
	l.size -= size
	l.mu.Unlock()
	if err != nil {
		lost := 0
		for _, msg := range msgs {
			lost += bytes.Count(msg.Data, []byte("\n"))
		}
		l.drop(lost, err)
	}
}

// write writes the messages. The error is not nil if ctx ended, or the log was closed, before it could.
func (l *AttemptLog) write(ctx context.Context, msgs []*nats.Msg) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(attemptEvery), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		left, err := l.publish(ctx, msgs)
		if err == nil {
			return nil
		}
		msgs = msgs[len(msgs)-left:]
		l.log.Debug().Err(err).Msg("log of attempts cannot be written now")
		if l.revive != nil && ctx.Err() == nil { // as after a full disk
			if err := l.revive(); err != nil {
				l.log.Debug().Err(err).Msg("journal's server cannot be started anew yet")
			}
		}
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

// publish tries once to write the messages, and says how many of them, at the end, are left.
func (l *AttemptLog) publish(ctx context.Context, msgs []*nats.Msg) (left int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commitTimeout, errCommitTimeout)
	defer cancel()
	if l.atomic && len(msgs) > 1 && len(msgs) <= MaxBatch { // one fsync for all
		err := PublishBatch(ctx, l.nc, msgs)
		if _, refused := errors.AsType[*jetstream.APIError](err); !refused {
			return len(msgs), err
		}
	}
	for i, msg := range msgs {
		if _, err := l.js.PublishMsg(ctx, msg); err != nil {
			return len(msgs) - i, causeOf(ctx, err)
		}
	}
	return 0, nil
}

// Attempts yields the attempts to deliver an event that were made since the given time, as far as they are kept, in the order in
// which they were written. An error is the last thing it yields.
func (j *Journal) Attempts(ctx context.Context, id string, since time.Time) iter.Seq2[Attempt, error] {
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{attemptSubject + "*"}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	return func(yield func(Attempt, error) bool) {
		for msg, err := range j.scan(ctx, AttemptStream, cfg) {
			if err != nil {
				yield(Attempt{}, fmt.Errorf("read the log of attempts: %w", err))
				return
			}
			if !bytes.Contains(msg.Data, []byte(id)) {
				continue
			}
			for line := range bytes.Lines(msg.Data) {
				if !bytes.Contains(line, []byte(id)) {
					continue
				}
				var a Attempt
				if err := json.Unmarshal(line, &a); err != nil {
					yield(a, fmt.Errorf("read the log of attempts, message %d: %w", msg.Seq, err))
					return
				}
				if slices.Contains(a.Events, id) && !yield(a, nil) {
					return
				}
			}
		}
	}
}
