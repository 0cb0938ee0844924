package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// digestSpans returns the parts of the journal that a sink is told of by digests, and keeps on disk that the rule has changed at
// the number up to which its lane has come. So every event goes by the rule of the time when the lane took it, although the mark that
// sums it up comes later: none is told of twice, or not at all. fresh is true for a lane that begins.
func (j *Journal) digestSpans(ctx context.Context, sink string, digests bool, taken uint64, fresh bool) ([]span, error) {
	var spans []span
	entry, err := j.state.Get(ctx, digestKey+sink)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return nil, fmt.Errorf("read what is summed up for sink %s: %w", sink, err)
	case !fresh:
		if err := json.Unmarshal(entry.Value(), &spans); err != nil {
			return nil, fmt.Errorf("read what is summed up for sink %s: %w", sink, err)
		}
	}
	if len(spans) > 0 {
		stream, err := j.js.Stream(ctx, JournalStream)
		if err != nil {
			return nil, fmt.Errorf("look into the journal: %w", err)
		}
		first := stream.CachedInfo().State.FirstSeq
		spans = slices.DeleteFunc(spans, func(s span) bool { return s.Through > 0 && s.Through < first })
	}
	open := len(spans) > 0 && spans[len(spans)-1].Through == 0
	switch {
	case open == digests && (!fresh || entry == nil):
		return spans, nil
	case digests:
		spans = append(spans, span{After: taken})
	case open:
		last := &spans[len(spans)-1]
		if last.Through = taken; taken <= last.After {
			spans = spans[:len(spans)-1]
		}
	}
	data, err := EncodeJSON(spans)
	if err == nil {
		_, err = j.state.Put(ctx, digestKey+sink, data)
	}
	if err != nil {
		return nil, fmt.Errorf("keep what is summed up for sink %s: %w", sink, err)
	}
	return spans, nil
}

var errShortRead = errors.New("the journal ends before it")

func within(spans []span, seq uint64) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.holds(seq) })
}

// recordOf reads a message of the journal. A mark has the id of the digest that the sink is to be sent of it.
func (l *Lane) recordOf(seq uint64, at time.Time, subject string, h nats.Header, line []byte) Record {
	r := recordOf(seq, subject, h, line)
	if r.Type == healType {
		var m healMark
		if h.Get(headerID) == "" && json.Unmarshal(line, &m) == nil { // digestOf tells
			r.ID = digestID(at, l.cfg.Sink, m)
		}
	}
	return r
}

// beforeMark is the batch up to the first mark behind its first record: of that a digest is made when its turn has come.
func (b batch) beforeMark() batch {
	for i := 1; i < len(b.of); i++ {
		if b.of[i].record.Type == healType {
			b.of = b.of[:i:i]
		}
	}
	return b
}

// sumUp puts the digest in the place of a mark. It waits while the journal cannot be read, which is no fault of the sink. some is false
// if there is nothing to tell, ok if the mark is to stay for the next start.
func (w *worker) sumUp(ctx context.Context, d *delivery, log zerolog.Logger) (some, ok bool) {
	l := w.lane
	for said := false; ; said = true {
		record, err := l.digestOf(ctx, d.record, d.at)
		if err == nil {
			if len(record.Line) == 0 {
				return false, true
			}
			l.mu.Lock()
			d.record = record
			l.mu.Unlock()
			return true, true
		}
		if ctx.Err() != nil {
			return false, false
		}
		if !said {
			log.Warn().Err(err).Str("id", d.record.ID).Msg("digest cannot be made, for the journal cannot be read; waiting")
		}
		if !l.pause(ctx) {
			return false, false
		}
	}
}

// digestOf makes the digest of a mark that was journaled at that time. Its line is empty if the sink is to be told of nothing.
func (l *Lane) digestOf(ctx context.Context, r Record, at time.Time) (Record, error) {
	var m healMark
	if err := json.Unmarshal(r.Line, &m); err != nil {
		l.log.Error().Err(err).Uint64("seq", r.Seq).Msg("a mark in the journal cannot be read: no digest is made of it")
		return Record{}, nil
	}
	s := newSummary(m)
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{journalSubject + m.Account},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy, OptStartSeq: m.After + 1,
	}
	whole := false
	for msg, err := range l.journal.scan(ctx, JournalStream, cfg) {
		if err != nil {
			return Record{}, fmt.Errorf("read what was healed of %s: %w", m.Account, err)
		}
		if whole = msg.Seq >= m.Through; msg.Seq > m.Through {
			break
		}
		if Origin(msg.Header.Get(headerOrigin)) != OriginBackfill || !within(l.digests, msg.Seq) {
			continue
		}
		one := recordOf(msg.Seq, msg.Subject, msg.Header, msg.Data)
		if !l.matches(one) {
			continue
		}
		e, err := one.Event()
		if err != nil {
			l.log.Error().Err(err).Uint64("seq", msg.Seq).Msg("a healed event in the journal cannot be read: no digest counts it")
			continue
		}
		s.add(&e)
	}
	if !whole { // the last one was dropped, or the server that was asked lags behind the others of its cluster
		there, err := l.journal.holds(ctx, m.Through)
		if there {
			err = errShortRead
		}
		if err != nil {
			return Record{}, fmt.Errorf("read what was healed of %s up to number %d: %w", m.Account, m.Through, err)
		}
	}
	if s.data.Count == 0 {
		return Record{}, nil
	}
	d := Digest{
		SpecVersion: SpecVersion, ID: r.ID, Source: "/" + m.Provider + "/" + m.Account, Type: DigestType,
		Time: at.UTC().Truncate(time.Millisecond), DataContentType: DataContentType, Origin: OriginBackfill, Data: s.sum(),
	}
	line, err := d.Line()
	if err != nil {
		return Record{}, err
	}
	return Record{
		Seq: r.Seq, ID: d.ID, Account: m.Account, Provider: m.Provider, Origin: OriginBackfill, Type: DigestType, Line: line,
	}, nil
}
