package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Bounds of an atomic batch. The server stages each one in a store of its own, which costs it about as much as hundreds of messages do.
const (
	MaxBatch      = 1000 // what JetStream takes (nats-server ADR-50)
	maxBatchBytes = 4 << 20
)

// commitTimeout bounds one write to the journal: after it the outcome is unclear, and the write is made again with the
// same ids, of which the server refuses those it has.
const commitTimeout = 5 * time.Second

var (
	errCommitTimeout = errors.New("no answer from the journal's server within 5 s")
	errConnLost      = errors.New("connection to the journal's server lost")
)

// Run commits what is appended until [Journal.Close], in order: one by one while few wait, as one atomic batch when that is
// faster, see [pace]. A write that fails is tried again until it succeeds; meanwhile the sources wait.
// When ctx ends it gives up, and returns an error if anything was left unwritten.
func (j *Journal) Run(ctx context.Context) error {
	lost := j.nc.StatusChanged(nats.RECONNECTING)
	defer j.nc.RemoveStatusListener(lost)
	defer j.pulse.rest()
	w := &writer{journal: j, lost: lost}
	var held *entry // read from the queue, but too large for the batch before
	for {
		batch := make([]entry, 0, 8)
		if held != nil {
			batch, held = append(batch, *held), nil
		} else {
			j.pulse.rest()
			first, ok := <-j.queue
			if !ok {
				return nil
			}
			batch = append(batch, first)
		}
		size := len(batch[0].msg.Data)
	gather:
		for len(batch) < MaxBatch {
			select {
			case e, ok := <-j.queue:
				if !ok {
					break gather
				}
				if size += len(e.msg.Data); size > maxBatchBytes {
					held = &e
					break gather
				}
				batch = append(batch, e)
			default:
				break gather
			}
		}
		if err := w.commit(ctx, batch); err != nil {
			left := len(batch) + len(j.queue)
			if held != nil {
				left++
			}
			return fmt.Errorf("write the journal: %d treats left unwritten: %w", left, err)
		}
	}
}

// A pace decides between single writes, each with an fsync, and an atomic batch, which costs the server about as much as
// dozens of singles, however small it is, and shares its fsyncs. How many dozens depends on the disk, so it is measured.
type pace struct {
	single, batch time.Duration // moving averages of what one of each takes; 0 before the first
}

// The number of waiting entries from which a batch is made: before both are measured, and the bounds of it.
const (
	firstBatchFrom = 16
	minBatchFrom   = 2
	maxBatchFrom   = 64 // so that an outlier does not put an end to batches, and to measuring them
)

// batchFrom is the number of waiting entries from which a batch is faster.
func (p *pace) batchFrom() int {
	if p.single == 0 || p.batch == 0 {
		return firstBatchFrom
	}
	return min(max(int(p.batch/p.single)+1, minBatchFrom), maxBatchFrom)
}

func (p *pace) measured(n int, batched bool, took time.Duration) {
	avg, one := &p.single, took/time.Duration(n)
	if batched {
		avg, one = &p.batch, took
	}
	if *avg == 0 {
		*avg = one
	}
	*avg += (one - *avg) / 8
}

// A writer is the working state of [Journal.Run].
type writer struct {
	journal *Journal
	lost    <-chan nats.Status // tells of a lost connection
	pace    pace
}

// revive tries to make the server able to write again.
func (w *writer) revive() {
	if w.journal.revive == nil {
		return
	}
	if err := w.journal.revive(); err != nil {
		w.journal.log.Debug().Err(err).Msg("journal's server cannot be started anew yet")
	}
}

// connPatience is how long a lost connection may take to come back by itself. A machine that is busy loses one now and then, and that
// is no reason to start the server anew.
const connPatience = 3 * time.Second

// commit commits the batch whatever it takes, and returns an error only when ctx ends.
func (w *writer) commit(ctx context.Context, batch []entry) error {
	j := w.journal
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	said := make(map[string]bool) // each kind of failure is told once, for they take turns while a server comes and goes
	var since time.Time
	began := time.Now()
	for {
		j.pulse.beat()
		start := time.Now()
		atomic := j.atomic && len(batch) >= w.pace.batchFrom()
		duplicates, err := w.attempt(ctx, batch, atomic)
		if err == nil {
			if len(said) > 0 {
				j.log.Info().Dur("after", time.Since(since)).Msg("journal writes again")
			}
			j.pulse.beat()
			w.pace.measured(len(batch), atomic, time.Since(start))
			j.committed(batch, duplicates, len(said) > 0)
			return nil
		}
		j.metrics.JournalFailures.Inc()
		j.health.failed(start, len(batch), err)
		if text := err.Error(); !said[text] {
			if len(said) == 0 {
				since = start
			}
			said[text] = true
			j.log.Error().Err(err).Int("waiting", len(batch)+len(j.queue)).
				Msg("journal cannot be written: treats wait in memory and nothing is delivered until it can; check the disk or the journal's server")
		}
		if !errors.Is(err, errConnLost) || time.Since(began) > connPatience {
			j.pulse.beat()
			w.revive()
			j.pulse.beat()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// attempt commits the batch once, and gives up when the connection is lost: the answer would not come any more.
func (w *writer) attempt(ctx context.Context, batch []entry, atomic bool) ([]bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-w.lost:
			cancel(errConnLost)
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()
	duplicates, err := w.journal.commit(ctx, batch, atomic)
	if errors.Is(err, nats.ErrReconnectBufExceeded) { // nothing is buffered for a server that is away
		err = errConnLost
	}
	return duplicates, err
}

// committed counts what is on disk now. again is true if it was tried before: then a duplicate is most likely this write itself,
// whose answer got lost.
func (j *Journal) committed(batch []entry, duplicates []bool, again bool) {
	now, fresh := time.Now(), uint64(0)
	for i, e := range batch {
		if e.wrote != nil {
			e.wrote()
		}
		switch {
		case e.origin == "":
			j.metrics.Rejected.WithLabelValues(e.account).Inc()
		case duplicates[i]:
			j.metrics.Duplicates.WithLabelValues(e.account).Inc()
			j.log.Debug().Str("account", e.account).Str("id", e.msg.Header.Get(jetstream.MsgIDHeader)).Msg("journaled before: refused")
			if again {
				j.traceJournaled(e, now)
			}
		default:
			fresh++
			j.metrics.Journaled.WithLabelValues(e.account, string(e.origin)).Inc()
			j.metrics.JournalLatency.Observe(now.Sub(e.received).Seconds())
			j.traceJournaled(e, now)
		}
	}
	j.health.wrote(now, fresh)
}

// commit writes the entries, as one atomic batch or one by one, and says which of them the journal had already.
func (j *Journal) commit(ctx context.Context, batch []entry, atomic bool) (duplicates []bool, err error) {
	duplicates = make([]bool, len(batch))
	if atomic {
		msgs := make([]*nats.Msg, len(batch))
		for i, e := range batch {
			msgs[i] = e.msg
		}
		err := j.publishBatch(ctx, msgs)
		if _, refused := errors.AsType[*jetstream.APIError](err); !refused && !errors.Is(err, nats.ErrMaxPayload) {
			return duplicates, err
		}
		// A batch is refused as a whole, most often for one known id: find out which, one by one and in order.
	}
	for i, e := range batch {
		j.pulse.beat()
		duplicates[i], err = j.publish(ctx, e.msg)
		if errors.Is(err, nats.ErrMaxPayload) { // the server takes less than it did; one message must not hold up all
			j.log.Error().Err(err).Str("account", e.account).Int("bytes", len(e.msg.Data)).
				Msg("treat too large for the journal's server: only its beginning is kept, as a reject; raise max_payload there")
			batch[i] = j.cut(e)
			duplicates[i], err = j.publish(ctx, batch[i].msg)
		}
		if err != nil {
			return nil, err // those before it are refused as known when it is tried again
		}
	}
	return duplicates, nil
}

// cut makes a small reject of an entry.
func (j *Journal) cut(e entry) entry {
	const keep = 16 << 10
	data, err := EncodeJSON(Reject{
		Account: e.account, Provider: e.msg.Header.Get(headerProvider), Reason: "larger than what the journal's server takes",
		Received: e.received, Size: len(e.msg.Data), Payload: string(e.msg.Data[:min(len(e.msg.Data), keep)]),
	})
	if err != nil {
		data = nil // of texts and numbers: it has no error
	}
	msg := nats.NewMsg(rejectSubject + e.account)
	msg.Data = data
	msg.Header.Set(jetstream.MsgIDHeader, "cut_"+e.msg.Header.Get(jetstream.MsgIDHeader))
	return entry{msg: msg, received: e.received, account: e.account, wrote: e.wrote}
}

// publish writes one message and returns when it is on disk, and whether it was there before.
func (j *Journal) publish(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (duplicate bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commitTimeout, errCommitTimeout)
	defer cancel()
	ack, err := j.js.PublishMsg(ctx, msg, opts...)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	return ack.Duplicate, nil
}

func (j *Journal) publishBatch(ctx context.Context, msgs []*nats.Msg) error {
	ctx, cancel := context.WithTimeoutCause(ctx, commitTimeout, errCommitTimeout)
	defer cancel()
	return PublishBatch(ctx, j.nc, msgs)
}

// PublishBatch publishes the messages as one atomic batch: the server stores all of them, in order, or none
// (NATS ADR-50, which nats.go does not wrap). The stream must allow it, and takes at most [MaxBatch] messages. It returns when
// they are on disk. A refusal of the server is a [jetstream.APIError]; after any other error it is not known whether they
// are stored. During the call the messages have more headers; they may be published again.
func PublishBatch(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg) error {
	const batchID, batchSequence, batchCommit = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
	id := nuid.Next()
	ids, sequences := []string{id}, make([]string, len(msgs))
	for i, m := range msgs {
		sequences[i] = strconv.Itoa(i + 1)
		if m.Header == nil {
			m.Header = nats.Header{}
		}
		m.Header[batchID], m.Header[batchSequence] = ids, sequences[i:i+1:i+1]
	}
	defer func() {
		for _, m := range msgs {
			delete(m.Header, batchID)
			delete(m.Header, batchSequence)
		}
	}()
	for _, m := range msgs[:len(msgs)-1] {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := nc.PublishMsg(m); err != nil {
			return fmt.Errorf("publish a batch: %w", err)
		}
	}
	last := msgs[len(msgs)-1]
	last.Header[batchCommit] = []string{"1"}
	defer delete(last.Header, batchCommit)
	answer, err := nc.RequestMsgWithContext(ctx, last)
	if err != nil {
		return causeOf(ctx, fmt.Errorf("commit a batch: %w", err))
	}
	return checkBatch(answer.Data, id, len(msgs))
}

// checkBatch reads the server's answer to a batch.
func checkBatch(answer []byte, id string, count int) error {
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Batch string              `json:"batch"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(answer, &ack); err != nil {
		return fmt.Errorf("read the answer to a batch: %w", err)
	}
	if ack.Error != nil {
		return ack.Error
	}
	if ack.Batch != id || ack.Count != count {
		return fmt.Errorf("the server stored %d of the %d messages of a batch", ack.Count, count)
	}
	return nil
}

// causeOf puts the cause of an ended ctx in place of the bare error it led to.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause
	}
	return err
}
