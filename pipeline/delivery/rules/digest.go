package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// digestRead bounds the records per read while a digest is made.
const digestRead = 1024

// A digestRange is a part of the journal whose backfilled events a sink gets as digests. It is stored in the journal's
// state.
type digestRange struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last,omitempty"` // 0: open end
}

func (d digestRange) contains(number uint64) bool {
	return number >= d.First && (d.Last == 0 || number <= d.Last)
}

func within(ranges []digestRange, number uint64) bool {
	return slices.ContainsFunc(ranges, func(s digestRange) bool { return s.contains(number) })
}

// digestRanges returns the parts of the journal that a sink gets as digests. It stores a change of the rule at the
// number next, from which on the lane has taken nothing. So each event follows the rule that held when the lane took
// it, although its batch comes later: none is sent twice, or not at all. fresh is true for a new lane.
func digestRanges(ctx context.Context, j *journal.Journal, sink string, digests bool, next uint64, fresh bool) ([]digestRange, error) {
	ranges, known, err := storedRanges(ctx, j, sink)
	if err != nil {
		return nil, err
	}
	if fresh {
		ranges = nil
	}
	first, _ := j.Bounds()
	ranges = slices.DeleteFunc(ranges, func(s digestRange) bool { return s.Last > 0 && s.Last < first })
	open := len(ranges) > 0 && ranges[len(ranges)-1].Last == 0
	switch {
	case open == digests && (!fresh || !known):
		return ranges, nil
	case digests:
		ranges = append(ranges, digestRange{First: next})
	case open:
		last := &ranges[len(ranges)-1]
		if last.Last = next - 1; last.Last < last.First {
			ranges = ranges[:len(ranges)-1]
		}
	}
	value, err := pipeline.EncodeJSON(ranges)
	if err == nil {
		_, err = j.State().Put(ctx, journal.DigestKey(sink), value, journal.AnyRevision)
	}
	if err != nil {
		return nil, fmt.Errorf("store the digest ranges of sink %s: %w", sink, err)
	}
	return ranges, nil
}

// storedRanges returns the digest ranges of a sink in the state. known is false if it has none, or they are damaged.
func storedRanges(ctx context.Context, j *journal.Journal, sink string) (ranges []digestRange, known bool, err error) {
	value, _, err := j.State().Get(ctx, journal.DigestKey(sink))
	switch {
	case errors.Is(err, journal.ErrNoKey), errors.Is(err, journal.ErrDamagedValue):
		return nil, false, nil
	case err == nil:
		err = json.Unmarshal(value, &ranges)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the digest ranges of sink %s: %w", sink, err)
	}
	return ranges, true, nil
}

// Digester makes the digests of one sink.
type Digester struct {
	journal *journal.Journal
	sink    string
	rules   *Rules
	// missing reports whether the lane never got a number, because the journal had lost it.
	missing func(number uint64) bool
	logger  zerolog.Logger
}

// NewDigester makes the digester of a sink.
func NewDigester(j *journal.Journal, sink string, r *Rules, missing func(number uint64) bool, logger zerolog.Logger) *Digester {
	return &Digester{journal: j, sink: sink, rules: r, missing: missing, logger: logger}
}

var errShortRead = errors.New("the journal ends before it")

// ID returns the id of the sink's digest of a batch. For an unreadable batch it returns the id of the entry; Make
// reports that.
func (m *Digester) ID(r *journal.Record) string {
	var batch journal.BackfillBatch
	if json.Unmarshal(r.Data, &batch) != nil {
		return r.ID
	}
	return journal.DigestID(r.Time, m.sink, batch)
}

// Make makes the digest of a batch. Its line is empty if there is nothing to send.
func (m *Digester) Make(ctx context.Context, r pipeline.Record, at time.Time) (pipeline.Record, error) {
	var batch journal.BackfillBatch
	if err := json.Unmarshal(r.Line, &batch); err != nil {
		m.logger.Error().Err(err).Uint64("seq", r.Seq).Msg("a backfill batch in the journal cannot be read: no digest is made of it")
		return pipeline.Record{}, nil
	}
	data, err := m.sum(ctx, batch)
	if err != nil {
		return pipeline.Record{}, fmt.Errorf("read the backfilled events of %s up to number %d: %w", batch.Account, batch.Last, err)
	}
	if data.Count == 0 {
		return pipeline.Record{}, nil
	}
	d := pipeline.Digest{
		SpecVersion: pipeline.SpecVersion, ID: r.ID, Source: "/" + batch.Provider + "/" + batch.Account, Type: pipeline.DigestType,
		Time: at.UTC().Truncate(time.Millisecond), DataContentType: pipeline.DataContentType, Origin: pipeline.OriginBackfill, Data: data,
	}
	line, err := d.Line()
	if err != nil {
		return pipeline.Record{}, err
	}
	return pipeline.Record{
		Seq: r.Seq, ID: d.ID, Account: batch.Account, Provider: batch.Provider, Origin: pipeline.OriginBackfill, Type: pipeline.DigestType, Line: line,
	}, nil
}

// sum counts the events of a batch that the sink gets as a digest.
func (m *Digester) sum(ctx context.Context, batch journal.BackfillBatch) (pipeline.DigestData, error) {
	s := newSummary(batch)
	for r, err := range m.Treats(ctx, batch) {
		if err != nil {
			return pipeline.DigestData{}, err
		}
		m.count(s, r)
	}
	return s.sum(), nil
}

// Treats yields the events of a batch that the sink's digest counts, in the order of the journal. An error ends the sequence.
func (m *Digester) Treats(ctx context.Context, batch journal.BackfillBatch) iter.Seq2[*journal.Record, error] {
	return func(yield func(*journal.Record, error) bool) {
		first, next := m.journal.Bounds()
		if next <= batch.Last {
			yield(nil, errShortRead)
			return
		}
		for at := max(batch.First, first); at <= batch.Last; {
			records, err := m.journal.Read(ctx, at, digestRead)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(records) == 0 {
				return
			}
			for i := range records {
				r := &records[i]
				if r.Number > batch.Last {
					return
				}
				if m.takes(r, batch.Account) && !yield(r, nil) {
					return
				}
			}
			at = records[len(records)-1].Number + 1
		}
	}
}

// takes reports whether the digest of a batch of an account counts an event.
func (m *Digester) takes(r *journal.Record, account string) bool {
	return r.Kind == journal.Treat && r.Account == account && r.Origin == pipeline.OriginBackfill &&
		!m.counted(r) && within(m.rules.digests, r.Number) && m.rules.matches(r)
}

// counted reports whether an event replaces one that the sink has received. A live treat was delivered by itself, a
// backfilled one in the digest of its batch. If there was no batch yet, or it was lost before the sink had its digest,
// the sink has received neither.
func (m *Digester) counted(r *journal.Record) bool {
	switch {
	case r.Ref == 0:
		return false
	case r.Was == pipeline.OriginBackfill:
		return r.Batch != 0 && !m.missing(r.Batch)
	}
	return !m.missing(r.Ref)
}

func (m *Digester) count(s *summary, r *journal.Record) {
	e, err := r.Delivery().Event()
	if err != nil {
		m.logger.Error().Err(err).Uint64("seq", r.Number).Msg("a backfilled event in the journal cannot be read: no digest counts it")
		return
	}
	s.add(&e)
}
