package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Bounds of one read request. The server may exceed readBytes by one record.
const (
	readMax   = 2048
	readBytes = 4 << 20
)

// stored is a record in the stream.
type stored struct {
	sequence uint64
	data     []byte
}

// Read implements [journal.Log]. If it finds lost records that the server does not report, [Log.Gaps] has them when it
// returns.
func (l *Log) Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error) {
	records, err := l.readSettled(ctx, from, limit)
	if err != nil {
		return nil, l.client.fail(fmt.Sprintf("read the journal from number %d", from), err)
	}
	return records, nil
}

func (l *Log) readSettled(ctx context.Context, from uint64, limit int) ([]journal.Record, error) {
	for {
		v, err := l.settled(ctx, from)
		if err != nil {
			return nil, err
		}
		records, holes, err := l.read(ctx, &v, from, limit)
		if err != nil {
			return nil, err
		}
		// If the stream has gone back meanwhile, its sequences have other numbers.
		if now := l.snapshot(); now.table == v.table && (l.attached || l.client.generation() == v.generation) {
			return records, l.noteHoles(ctx, &v, holes)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// settled returns a view that matches the current connection and, if others write, includes the number from if that was
// assigned.
func (l *Log) settled(ctx context.Context, from uint64) (view, error) {
	v := l.snapshot()
	if l.attached && from >= v.next() {
		if err := l.reread(ctx); err != nil {
			return v, err
		}
		return l.snapshot(), nil
	}
	if l.attached || v.generation == l.client.generation() {
		return v, nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.current(ctx); err != nil {
		return v, err
	}
	return l.snapshot(), nil
}

// read returns records, and the sequences before and between them that the stream does not hold.
func (l *Log) read(ctx context.Context, v *view, from uint64, limit int) (records []journal.Record, holes []journal.Range, err error) {
	sequence := max(v.table.sequence(max(from, 1)), v.first)
	for sequence <= v.last && len(records) == 0 && limit > 0 {
		msgs, without, err := l.fetch(ctx, sequence, v.last, limit)
		if err != nil {
			return nil, nil, err
		}
		holes = append(holes, without...)
		if len(msgs) == 0 {
			return nil, holes, nil
		}
		records = make([]journal.Record, 0, len(msgs))
		for _, m := range msgs {
			e, err := journal.ParseEntry(m.data)
			if err != nil {
				l.client.log.Error().Uint64("sequence", m.sequence).Str("stream", StreamName).Msg("a message in the journal's stream is not relay's; it is skipped")
				continue
			}
			records = append(records, journal.Record{Number: v.table.number(m.sequence), Entry: e})
		}
		sequence = msgs[len(msgs)-1].sequence + 1
	}
	return records, holes, nil
}

// fetch returns messages in a range of sequences in order, at most limit, and the missing sequences before the last of
// them. It returns none only if the stream's leader has none.
func (l *Log) fetch(ctx context.Context, from, last uint64, limit int) (msgs []stored, holes []journal.Range, err error) {
	batch, err := l.client.batch(ctx, from, last, min(limit, readMax))
	if err != nil {
		return nil, nil, err
	}
	for _, m := range batch {
		for from < m.sequence && len(msgs) < limit { // that replica lacks some
			found, hole, err := l.fromLeader(ctx, from, m.sequence-1)
			if err != nil {
				return nil, nil, err
			}
			if hole.First > 0 {
				holes = append(holes, hole)
			}
			if found == nil {
				break
			}
			msgs, from = append(msgs, *found), found.sequence+1
		}
		if len(msgs) >= limit {
			return msgs, holes, nil
		}
		msgs, from = append(msgs, m), m.sequence+1
	}
	if len(msgs) > 0 {
		return msgs, holes, nil
	}
	found, hole, err := l.fromLeader(ctx, from, last) // a lagging replica may have answered
	if err != nil {
		return nil, nil, err
	}
	if found != nil {
		msgs = []stored{*found}
	}
	if hole.First > 0 {
		holes = []journal.Range{hole}
	}
	return msgs, holes, nil
}

// fromLeader asks the stream's leader for the first message in a range, nil if there is none. It returns the sequences
// before it as a hole.
func (l *Log) fromLeader(ctx context.Context, from, last uint64) (found *stored, hole journal.Range, err error) {
	msg, err := l.client.get(ctx, from, true)
	switch {
	case notFound(err), err == nil && msg.Sequence > last:
		return nil, journal.Range{First: from, Last: last}, nil
	case err != nil:
		return nil, hole, err
	case msg.Sequence > from:
		hole = journal.Range{First: from, Last: msg.Sequence - 1}
	}
	return &stored{msg.Sequence, msg.Data}, hole, nil
}

// noteHoles records missing sequences as gaps, unless they were just dropped by age.
func (l *Log) noteHoles(ctx context.Context, v *view, holes []journal.Range) error {
	holes = slices.DeleteFunc(holes, func(h journal.Range) bool { return v.table.lost(v.table.number(h.First), v.table.number(h.Last)) })
	if len(holes) == 0 {
		return nil
	}
	info, err := l.client.info(ctx, StreamName, nil)
	if err != nil {
		return err
	}
	t := v.table
	for _, hole := range holes {
		if hole.First = max(hole.First, info.State.FirstSeq); hole.First > hole.Last || info.State.Msgs == 0 {
			continue
		}
		lost := journal.Range{First: t.number(hole.First), Last: t.number(hole.Last)}
		l.client.log.Error().Str("server", l.client.name()).Uint64("from", lost.First).Uint64("to", lost.Last).
			Msg("records are missing from the journal's stream: they were deleted on the server, or are damaged; missing treats are fetched from the history")
		t = t.lose(lost, time.Now())
	}
	if t == v.table {
		return nil
	}
	if l.attached {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.at.table == v.table { // otherwise the next read finds them again
			l.at.table = t
		}
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.snapshot().table != v.table {
		return nil // the next read finds them again
	}
	return l.adopt(ctx, t)
}

// batch requests messages of the stream in a range of sequences, at most limit. Any replica may answer.
//
// Headers with the sequences are most of the cost of reading, so batch first asks for none. If the answer has as many
// messages as there are sequences in its range, each sequence is known.
func (c *client) batch(ctx context.Context, from, last uint64, limit int) ([]stored, error) {
	if rng := last - from + 1; rng < uint64(limit) { //nolint:gosec // not negative
		limit = int(rng) //nolint:gosec // less than limit
	}
	msgs, end, err := c.directGet(ctx, from, limit, true)
	if err != nil {
		return nil, err
	}
	if n := uint64(len(msgs)); n > 0 && msgs[0].sequence == 0 {
		if from+n-1 != end { // some in between were deleted
			if msgs, _, err = c.directGet(ctx, from, limit, false); err != nil {
				return nil, err
			}
		} else {
			for i := range msgs {
				msgs[i].sequence = from + uint64(i)
			}
		}
	}
	for len(msgs) > 0 && msgs[len(msgs)-1].sequence > last {
		msgs = msgs[:len(msgs)-1]
	}
	return msgs, nil
}

// directGet sends the request of [client.batch]. If bare is set and supported, the messages have no sequences. end is the
// sequence of the last one.
func (c *client) directGet(ctx context.Context, from uint64, limit int, bare bool) (msgs []stored, end uint64, err error) {
	request, err := json.Marshal(map[string]any{"seq": from, "batch": limit, "max_bytes": readBytes, "no_hdr": bare})
	if err != nil {
		return nil, 0, fmt.Errorf("encode a request: %w", err)
	}
	inbox := c.nc.NewInbox()
	answers, err := c.listen(ctx, inbox, limit+1)
	if err != nil {
		return nil, 0, err
	}
	defer answers.end()
	if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+StreamName, inbox, request); err != nil {
		return nil, 0, c.answered(ctx, err)
	}
	for {
		m, err := answers.next(ctx)
		if err != nil {
			return nil, 0, err
		}
		sequence, previous, ended, err := directHeader(m)
		if err != nil || ended {
			return msgs, previous, err
		}
		if sequence > 0 && previous != end {
			return nil, 0, errIncomplete
		}
		end = sequence
		msgs = append(msgs, stored{sequence, m.Data})
	}
}

var errIncomplete = errors.New("a message is missing from the server's answer")

// directHeader parses the headers of an answer to [client.directGet]: the sequence of the message and that of the
// previous one. At the end of the answer, the previous one is the last message.
func directHeader(m *nats.Msg) (sequence, previous uint64, ended bool, err error) {
	if len(m.Header) == 0 {
		return 0, 0, false, nil
	}
	switch status := m.Header.Get("Status"); status {
	case "":
	case "204":
		ended = true
	case "404":
		return 0, 0, true, nil
	case "503":
		return 0, 0, true, errNoResponders
	default:
		return 0, 0, true, fmt.Errorf("the server refuses to read: %s %s", status, m.Header.Get("Description"))
	}
	number := func(name string) (n uint64) {
		if text := m.Header[name]; len(text) == 1 && err == nil {
			n, err = strconv.ParseUint(text[0], 10, 64)
		}
		return n
	}
	return number("Nats-Sequence"), number("Nats-Last-Sequence"), ended, err
}
