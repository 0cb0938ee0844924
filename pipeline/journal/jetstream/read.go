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
		v, err := l.settled(ctx)
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

// settled is a view that is true of the present connection.
func (l *Log) settled(ctx context.Context) (view, error) {
	v := l.snapshot()
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

// batch asks for messages of the journal's stream in one request. Whichever replica has least to do answers it. What a broken answer
// still holds in order is returned.
func (l *link) batch(ctx context.Context, from, last uint64, limit int) (msgs []stored, err error) {
	request, err := json.Marshal(map[string]any{"seq": from, "batch": limit, "max_bytes": readBytes})
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	inbox := l.nc.NewInbox()
	answers, err := l.listen(inbox, limit+1)
	if err != nil {
		return nil, err
	}
	defer answers.end()
	if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+StreamName, inbox, request); err != nil {
		return nil, l.answered(ctx, err)
	}
	before := uint64(0) // the sequence of the message before
	for {
		m, err := answers.next(ctx)
		if err != nil {
			if len(msgs) > 0 {
				return msgs, nil //nolint:nilerr // the next request meets it again
			}
			return nil, err
		}
		sequence, more, err := batchMessage(m, before)
		if !more || err != nil {
			if len(msgs) > 0 {
				return msgs, nil //nolint:nilerr // as above
			}
			return nil, err
		}
		if sequence > last {
			return msgs, nil
		}
		before = sequence
		msgs = append(msgs, stored{sequence, m.Data})
	}
}

// batchMessage reads one message of an answer to [link.batch]. more is false at its end.
func batchMessage(m *nats.Msg, before uint64) (sequence uint64, more bool, err error) {
	switch status := m.Header["Status"]; {
	case len(status) == 0:
	case status[0] == "204", status[0] == "404":
		return 0, false, nil
	case status[0] == "503":
		return 0, false, errNobody
	default:
		return 0, false, fmt.Errorf("the server refuses to read: %s %s", status[0], m.Header.Get("Description"))
	}
	number := func(name string) (n uint64) {
		if text := m.Header[name]; len(text) == 1 && err == nil {
			n, err = strconv.ParseUint(text[0], 10, 64)
		}
		return n
	}
	sequence, previous := number("Nats-Sequence"), number("Nats-Last-Sequence")
	if err == nil && (sequence == 0 || previous != before) {
		err = errors.New("a message is missing from the server's answer")
	}
	return sequence, err == nil, err
}
