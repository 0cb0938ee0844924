package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Bounds of one request for records. The server may go beyond readBytes by one record.
const (
	readMax   = 2048
	readBytes = 4 << 20
)

// stored is a record as the stream has it.
type stored struct {
	sequence uint64
	data     []byte
}

// Read implements [journal.Log].
func (l *Log) Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error) {
	for {
		v, err := l.settled(ctx, from)
		if err != nil {
			return nil, l.link.fail(fmt.Sprintf("read the journal from number %d", from), err)
		}
		records, err := l.read(ctx, &v, from, limit)
		if err != nil {
			return nil, l.link.fail(fmt.Sprintf("read the journal from number %d", from), err)
		}
		// The sequences of a stream that went back meanwhile have other numbers.
		if now := l.snapshot(); now.table == v.table && (l.attached || l.link.generation() == v.generation) {
			return records, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// settled is a view that is true of the present connection and, if others write, holds the number from if that was given.
func (l *Log) settled(ctx context.Context, from uint64) (view, error) {
	v := l.snapshot()
	if l.attached && from >= v.next() {
		if err := l.reread(ctx); err != nil {
			return v, err
		}
		return l.snapshot(), nil
	}
	if l.attached || v.generation == l.link.generation() {
		return v, nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.current(ctx); err != nil {
		return v, err
	}
	return l.snapshot(), nil
}

func (l *Log) read(ctx context.Context, v *view, from uint64, limit int) ([]journal.Record, error) {
	var records []journal.Record
	sequence := max(v.table.sequence(max(from, 1)), v.first)
	for sequence <= v.last && len(records) == 0 && limit > 0 {
		msgs, err := l.fetch(ctx, sequence, v.last, limit)
		if err != nil || len(msgs) == 0 {
			return nil, err
		}
		records = make([]journal.Record, 0, len(msgs))
		for _, m := range msgs {
			e, err := journal.ParseEntry(m.data)
			if err != nil {
				l.link.log.Error().Uint64("sequence", m.sequence).Str("stream", StreamName).Msg("a message of the journal's stream is none of relay's; it is passed over")
				continue
			}
			records = append(records, journal.Record{Number: v.table.number(m.sequence), Entry: e})
		}
		sequence = msgs[len(msgs)-1].sequence + 1
	}
	return records, nil
}

// fetch returns messages of the stream in order: those from one sequence to another, at most limit. It returns none only if the stream's
// leader has none.
func (l *Log) fetch(ctx context.Context, from, last uint64, limit int) ([]stored, error) {
	msgs, err := l.link.batch(ctx, from, last, min(limit, readMax))
	if err != nil || len(msgs) > 0 {
		return msgs, err
	}
	// Any replica may have answered, and it may lag behind.
	msg, err := l.link.get(ctx, StreamName, from, true)
	if notFound(err) || err == nil && msg.Sequence > last {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []stored{{msg.Sequence, msg.Data}}, nil
}

// batch asks for messages of the journal's stream in one request: those from one sequence to another, at most limit. Whichever replica has least
// to do answers it.
//
// Headers with the sequences are most of the work of reading, so it asks for none at first: if the answer has as many messages as sequences from its
// first to its last one, which its end tells, each is known.
func (l *link) batch(ctx context.Context, from, last uint64, limit int) ([]stored, error) {
	if span := last - from + 1; span < uint64(limit) { //nolint:gosec // not negative
		limit = int(span) //nolint:gosec // less than limit
	}
	msgs, end, err := l.directGet(ctx, from, limit, true)
	if err != nil {
		return nil, err
	}
	if n := uint64(len(msgs)); n > 0 && msgs[0].sequence == 0 {
		if from+n-1 != end { // some in between were deleted
			if msgs, _, err = l.directGet(ctx, from, limit, false); err != nil {
				return nil, err
			}
		} else {
			for i := range msgs {
				msgs[i].sequence = from + uint64(i) //nolint:gosec // not negative
			}
		}
	}
	for len(msgs) > 0 && msgs[len(msgs)-1].sequence > last {
		msgs = msgs[:len(msgs)-1]
	}
	return msgs, nil
}

// directGet makes the request of [link.batch]. The messages have no sequences if bare is true and the server knows what that means. end is the sequence
// of the last one.
func (l *link) directGet(ctx context.Context, from uint64, limit int, bare bool) (msgs []stored, end uint64, err error) {
	request, err := json.Marshal(map[string]any{"seq": from, "batch": limit, "max_bytes": readBytes, "no_hdr": bare})
	if err != nil {
		return nil, 0, fmt.Errorf("encode a request: %w", err)
	}
	inbox := l.nc.NewInbox()
	answers, err := l.listen(inbox, limit+1)
	if err != nil {
		return nil, 0, err
	}
	defer answers.end()
	if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+StreamName, inbox, request); err != nil {
		return nil, 0, l.answered(ctx, err)
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

// directHeader reads what the headers of an answer to [link.directGet] say: the sequence of the message and that of the one before. At the end of the
// answer the one before is the last.
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
		return 0, 0, true, errNobody
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
