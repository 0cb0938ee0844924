package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Bounds of one write.
const (
	chunkMax   = 1000 // the limit of an atomic batch in JetStream (nats-server ADR-50)
	chunkBytes = 4 << 20
	shard      = "0"
)

// headerRoom is an upper bound of the headers of a message, without its id.
const headerRoom = 256

// A write is an entry on its way into the stream.
type write struct {
	entry    *journal.Entry
	msg      *nats.Msg
	sequence uint64 // where it is stored; 0: not stored yet
}

// Append implements [journal.Log]. An entry is durable when the stream has acknowledged it. With several replicas it is
// then on most of their nodes; with one replica it is on the server, which syncs its disk at its own interval
// (sync_interval).
func (l *Log) Append(ctx context.Context, entries []journal.Entry) ([]uint64, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	writes, err := l.prepare(entries)
	if err != nil {
		return nil, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	numbers := make([]uint64, 0, len(entries))
	for rest := writes; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < chunkMax && (n == 0 || size+len(rest[n].msg.Data) <= chunkBytes) {
			size += len(rest[n].msg.Data)
			n++
		}
		if err := l.store(ctx, rest[:n]); err != nil {
			return nil, l.client.fail(fmt.Sprintf("write %d entries to the journal", len(rest)), err)
		}
		t := l.snapshot().table
		for _, w := range rest[:n] {
			numbers = append(numbers, t.number(w.sequence))
		}
		rest = rest[n:]
	}
	return numbers, nil
}

func (l *Log) prepare(entries []journal.Entry) ([]write, error) {
	limit, setting := l.client.nc.MaxPayload(), "max_payload"
	if largest := l.snapshot().largest; largest > 0 && largest < limit {
		limit, setting = largest, "max_msg_size of stream "+StreamName
	}
	writes := make([]write, len(entries))
	for i := range entries {
		e := &entries[i]
		data := journal.AppendEntry(make([]byte, 0, journal.EntrySize(e)), e)
		if size := int64(len(data) + len(e.ID) + headerRoom); size > limit {
			return nil, fmt.Errorf("%w: %s of %d bytes; the server %s takes %d (%s)", journal.ErrTooLarge, e.ID, size, l.client.name(), limit, setting)
		}
		writes[i] = write{entry: e, msg: &nats.Msg{
			Subject: "relay.journal." + shard + "." + token(e.Account), Data: data, Header: nats.Header{natsjs.MsgIDHeader: {e.ID}},
		}}
	}
	return writes, nil
}

// token encodes an account as a token of a subject.
func token(account string) string {
	if account == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(".*>", r) {
			return '_'
		}
		return r
	}, account)
}

// How often a write that the server rejects because of its position is retried. The relay that owns the log retries at
// once; a command beside it waits each time, since the relay may be writing constantly.
const (
	storeTries    = 8
	attachedTries = 200
	attachedPause = 10 * time.Millisecond
)

var errOutOfStep = errors.New("the stream holds other records than relay expects; check whether another relay writes to it")

// store stores the writes in order and sets their sequences. l.writing is held.
func (l *Log) store(ctx context.Context, writes []write) error {
	tries := storeTries
	if l.attached {
		tries = attachedTries
	}
	for try := range tries {
		if try > 0 && l.attached {
			select {
			case <-time.After(rand.N(attachedPause)): //nolint:gosec // jitter
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := l.current(ctx); err != nil {
			return l.explain(err)
		}
		if !l.attached { // otherwise the caller has looked for them by ID
			if err := l.findStored(ctx, writes); err != nil {
				return err
			}
		}
		err := l.publish(ctx, writes)
		if err == nil {
			l.wrote(writes)
			return nil
		}
		l.mu.Lock()
		l.at.known = false
		l.mu.Unlock()
		if !refusedWith(err, natsjs.JSErrCodeStreamWrongLastSequence, natsjs.JSErrCodeStreamWrongLastSequenceConstant) {
			return l.explain(err)
		}
	}
	return errOutOfStep
}

// explain adds the likely cause to an error of a write.
func (l *Log) explain(err error) error {
	if (errors.Is(err, errNoResponders) || errors.Is(err, errNoAnswer)) && l.client.nc.ConnectedClusterName() != "" && l.state.singleReplica() {
		return fmt.Errorf("%w: %w", errNoReplica, err)
	}
	return err
}

// findStored sets the sequences of writes that the stream already has, after an attempt with an unknown outcome.
func (l *Log) findStored(ctx context.Context, writes []write) error {
	for i := range writes {
		w := &writes[i]
		if w.sequence != 0 {
			if id, ok := l.recent.id(w.sequence); ok && id == w.entry.ID {
				continue
			}
			w.sequence = 0
		}
		sequence, ok := l.recent.sequences[w.entry.ID]
		if !ok {
			continue
		}
		held, err := l.holds(ctx, sequence, w.entry.ID)
		if err != nil {
			return err
		}
		if held {
			w.sequence = sequence
			continue
		}
		w.msg.Header[natsjs.MsgIDHeader] = []string{nuid.Next()} // the server may remember the removed message
	}
	return nil
}

// holds reports whether the stream has an entry with this id at that sequence.
func (l *Log) holds(ctx context.Context, sequence uint64, id string) (bool, error) {
	msg, err := l.client.get(ctx, sequence, false)
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e, err := journal.ParseEntry(msg.Data)
	return err == nil && e.ID == id, nil
}

// wrote updates the view after a write.
func (l *Log) wrote(writes []write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &l.at
	for _, w := range writes {
		if w.sequence <= v.last {
			continue
		}
		if v.first > v.last {
			v.firstTime = time.Now()
		}
		v.last = w.sequence
		v.bytes += uint64(len(w.msg.Data))
		l.recent.remember(w.sequence, w.entry.ID)
	}
	v.notify()
}

// publish writes what has no sequence yet: as an atomic batch if that is faster, otherwise all at once. The stream
// accepts each message only at its expected position, so after an error it holds a prefix of the writes.
func (l *Log) publish(ctx context.Context, writes []write) error {
	var left []*write
	for i := range writes {
		if writes[i].sequence == 0 {
			left = append(left, &writes[i])
		}
	}
	if len(left) == 0 {
		return nil
	}
	v := l.snapshot()
	if offset := v.table.offset(v.last + 1); offset > 0 {
		text := []string{strconv.FormatUint(offset, 10)}
		for _, w := range left {
			w.msg.Header[offsetHeader] = text
		}
	}
	if l.tuner.batch(len(left)) {
		start := time.Now()
		err := l.publishBatch(ctx, left, v.last)
		if !refusedWith(err, codeBatchDuplicate) {
			if err == nil {
				l.tuner.measured(len(left), true, time.Since(start))
			}
			return err
		}
		return l.publishEach(ctx, left, v.last) // one of them is stored already; the answers show which
	}
	start := time.Now()
	err := l.publishAll(ctx, left, v.last)
	if err == nil {
		l.tuner.measured(len(left), false, time.Since(start))
	}
	return err
}

// pubAck is the server's answer to a message or batch.
type pubAck struct {
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Batch     string `json:"batch"`
	Count     int    `json:"count"`
}

// publishAll publishes all messages at once and waits for the answers.
func (l *Log) publishAll(ctx context.Context, left []*write, last uint64) error {
	msgs := make([]*nats.Msg, len(left))
	for i, w := range left {
		w.msg.Header[natsjs.ExpectedLastSeqHeader] = []string{strconv.FormatUint(last+uint64(i), 10)}
		msgs[i] = w.msg
	}
	duplicates := 0
	var refused error
	err := l.client.ask(ctx, msgs, func(i int, answer *nats.Msg) error {
		var ack pubAck
		if err := readAnswer(answer, &ack); err != nil {
			if refused == nil {
				refused = err
			}
			return nil
		}
		left[i].sequence = ack.Sequence
		if ack.Duplicate {
			duplicates++
		}
		return nil
	})
	for _, m := range msgs {
		m.Reply = ""
	}
	if err == nil && refused != nil && duplicates == 0 {
		err = refused
	}
	if err == nil && duplicates > 0 {
		return l.publishEach(ctx, left, last)
	}
	return err
}

// publishEach publishes one message at a time, since some of them are duplicates.
func (l *Log) publishEach(ctx context.Context, left []*write, last uint64) error {
	for _, w := range left {
		if w.sequence > 0 && w.sequence == last+1 { // stored by the previous attempt
			last = w.sequence
			continue
		}
		w.sequence = 0
		for w.sequence == 0 {
			w.msg.Header[natsjs.ExpectedLastSeqHeader] = []string{strconv.FormatUint(last, 10)}
			answer, err := l.client.request(ctx, w.msg)
			var ack pubAck
			if err == nil {
				err = readAnswer(answer, &ack)
			}
			if err != nil {
				return err
			}
			if !ack.Duplicate {
				w.sequence, last = ack.Sequence, ack.Sequence
				continue
			}
			held, err := l.holds(ctx, ack.Sequence, w.entry.ID)
			if err != nil {
				return err
			}
			if held {
				w.sequence = ack.Sequence
			} else {
				w.msg.Header[natsjs.MsgIDHeader] = []string{nuid.Next()}
			}
		}
	}
	return nil
}

// publishBatch publishes an atomic batch: the server stores all of it or nothing (nats-server ADR-50, which nats.go
// does not support).
func (l *Log) publishBatch(ctx context.Context, left []*write, last uint64) error {
	const batchID, batchSequence, batchCommit = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
	id := []string{nuid.Next()}
	for i, w := range left {
		delete(w.msg.Header, natsjs.ExpectedLastSeqHeader)
		w.msg.Header[batchID], w.msg.Header[batchSequence] = id, []string{strconv.Itoa(i + 1)}
	}
	defer func() {
		for _, w := range left {
			delete(w.msg.Header, batchID)
			delete(w.msg.Header, batchSequence)
			delete(w.msg.Header, batchCommit)
		}
	}()
	left[0].msg.Header[natsjs.ExpectedLastSeqHeader] = []string{strconv.FormatUint(last, 10)}
	end := left[len(left)-1]
	for _, w := range left[:len(left)-1] {
		if err := l.client.nc.PublishMsg(w.msg); err != nil {
			return l.client.answered(ctx, err)
		}
	}
	end.msg.Header[batchCommit] = []string{"1"}
	answer, err := l.client.request(ctx, end.msg)
	if err != nil {
		return err
	}
	var ack pubAck
	if err := readAnswer(answer, &ack); err != nil {
		return err
	}
	if ack.Batch != id[0] || ack.Count != len(left) {
		l.tuner.never = true // a server before 2.12 treats the messages of a batch as single ones
		return fmt.Errorf("the server stored %d of the %d messages of a batch", ack.Count, len(left))
	}
	for i, w := range left {
		w.sequence = ack.Sequence - uint64(len(left)-1-i) //nolint:gosec // not negative
	}
	return nil
}
