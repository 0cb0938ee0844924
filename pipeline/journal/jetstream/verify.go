package jetstream

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// offsetHeader holds the offset of a record's number, if it is not 0. It is read only if the table of epochs is lost.
const offsetHeader = "Relay-Offset"

var errNoQuorum = errors.New("most nodes of the stream's cluster do not follow its leader yet")

// current makes sure that the view matches the stream. l.writing is held.
func (l *Log) current(ctx context.Context) error {
	if l.attached { // the relay that owns the log continues the numbers
		return l.rereadAll(ctx, true)
	}
	if v := l.snapshot(); v.known && v.generation == l.client.generation() {
		return nil
	}
	return l.verify(ctx)
}

// verify compares the view with the stream, and begins a new epoch if the stream went back in time. l.writing is held.
func (l *Log) verify(ctx context.Context) error {
	generation := l.client.generation()
	info, err := l.client.info(ctx, StreamName, nil)
	if noStream(err) {
		l.client.log.Error().Str("server", l.client.name()).Str("stream", StreamName).Msg("the journal's stream is gone from the server; it is created again")
		info, err = l.client.ensure(ctx, journalConfig(l.retention), l.replicas)
	}
	if err != nil {
		return err
	}
	v := l.snapshot()
	cut, same, err := l.agreement(ctx, &v, info)
	if err != nil {
		return err
	}
	switch {
	case !same:
		if err := l.goneBack(ctx, &v, info, cut); err != nil {
			return err
		}
	case v.purged(info):
		if err := l.wasPurged(ctx, &v, info); err != nil {
			return err
		}
	}
	if err := l.state.keepTable(ctx, l.snapshot().table); err != nil {
		return err
	}
	l.recent.forgetFrom(cut + 1) // ids that an earlier attempt read from another stream
	if info.State.LastSeq > cut {
		if err := l.readIDs(ctx, max(cut+1, info.State.FirstSeq), info.State.LastSeq); err != nil {
			return err
		}
	}
	if generation != l.client.generation() {
		return errLost // the answers may come from two streams
	}
	l.take(info, generation, l.snapshot().table)
	return nil
}

// agreement returns the sequence up to which the stream matches the known records, and whether all of them match.
func (l *Log) agreement(ctx context.Context, v *view, info *streamInfo) (cut uint64, same bool, err error) {
	end := min(v.last, info.State.LastSeq)
	if id, ok := l.recent.id(end); ok && end >= info.State.FirstSeq {
		if held, err := l.holds(ctx, end, id); err != nil || held {
			return end, end == v.last, err
		}
	}
	known := l.recent.known(max(v.first, info.State.FirstSeq), end)
	differs := func(sequence uint64) bool {
		if err != nil {
			return true
		}
		msg, failed := l.client.get(ctx, sequence, false)
		if notFound(failed) {
			return false // deleted, which alone does not mean another history
		}
		if failed != nil {
			err = failed
			return true
		}
		e, failed := journal.ParseEntry(msg.Data)
		id, _ := l.recent.id(sequence)
		return failed != nil || e.ID != id
	}
	if n := len(known); n > 0 && differs(known[n-1]) && err == nil {
		// Its end differs: find where that begins.
		switch i := sort.Search(n, func(i int) bool { return differs(known[i]) }); {
		case i > 0:
			end = known[i-1]
		case info.State.FirstSeq > 0:
			end = info.State.FirstSeq - 1 // none of the known records is there
		default:
			end = 0
		}
	}
	return end, end == v.last, err
}

// goneBack begins a new epoch after cut, stores it in the state, and logs it. From then on the view ends at cut, even
// if a later step fails, since view and table belong together.
func (l *Log) goneBack(ctx context.Context, v *view, info *streamInfo, cut uint64) error {
	if !info.quorum() {
		return errNoQuorum
	}
	t := v.table.begin(cut, v.top(), v.oldest(), time.Now())
	if err := l.state.saveTable(ctx, t); err != nil {
		return err
	}
	lost := v.table.number(v.last) - min(v.table.number(cut), v.table.number(v.last))
	l.client.log.Error().Str("server", l.client.name()).Uint64("lost", lost).Uint64("from", v.top()-lost+1).Uint64("to", v.top()).Uint64("next", t.number(cut+1)).
		Msg("the journal's server has lost its newest records: it went back in time, or was replaced by an older copy; writing continues, and missing treats are fetched from the history")
	l.mu.Lock()
	l.at.table, l.at.last, l.at.first, l.at.known = t, cut, min(v.first, cut+1), false
	l.at.notify()
	l.mu.Unlock()
	return nil
}

// purgeSlack bounds the difference of the clocks of relay and server.
const purgeSlack = time.Minute

// purged reports whether records disappeared that neither were old enough nor were dropped by relay.
func (v *view) purged(info *streamInfo) bool {
	if v.first > v.last || info.State.FirstSeq <= v.first && info.State.Msgs > 0 || info.limited() {
		return false
	}
	return info.Config.MaxAge == 0 || time.Since(v.firstTime)+purgeSlack < info.Config.MaxAge
}

// wasPurged records the loss in the table and the state, and logs it.
func (l *Log) wasPurged(ctx context.Context, v *view, info *streamInfo) error {
	last := min(max(info.State.FirstSeq, 1)-1, v.last)
	if info.State.Msgs == 0 {
		last = v.last
	}
	lost := journal.Range{First: v.table.number(v.first), Last: v.table.number(last)}
	if err := l.adopt(ctx, v.table.lose(lost, time.Now())); err != nil {
		return err
	}
	l.client.log.Error().Str("server", l.client.name()).Uint64("from", lost.First).Uint64("to", lost.Last).
		Msg("records were removed from the journal's stream before their retention ended; missing treats are fetched from the history")
	return nil
}

// readIDs stores the ids of records in the stream that the log does not know: writes whose answer was lost.
func (l *Log) readIDs(ctx context.Context, from, last uint64) error {
	if last-from >= recentSize {
		from = last - recentSize + 1
	}
	for from <= last {
		msgs, _, err := l.fetch(ctx, from, last, readMax)
		if err != nil {
			return err
		}
		if len(msgs) == 0 {
			return nil
		}
		for _, m := range msgs {
			if e, err := journal.ParseEntry(m.data); err == nil {
				l.recent.remember(m.sequence, e.ID)
			}
		}
		from = msgs[len(msgs)-1].sequence + 1
	}
	return nil
}

// findTable returns the table for a log that is being opened: the stored one or, if that is lost or older than the
// stream, one rebuilt from the records.
func (l *Log) findTable(ctx context.Context, info *streamInfo) (*table, error) {
	t, err := l.state.loadTable(ctx)
	if err != nil {
		return nil, err
	}
	if t == nil {
		t = firstTable()
	}
	last := info.State.LastSeq
	if info.State.Msgs == 0 {
		return t, nil
	}
	newest, at, err := l.offsetAt(ctx, last, false)
	if err != nil || at == 0 || newest <= t.offset(last) {
		return t, err
	}
	first, _, err := l.offsetAt(ctx, info.State.FirstSeq, true)
	if err != nil {
		return nil, err
	}
	rebuilt := firstTable()
	rebuilt.Epochs[0].Offset = first
	if rebuilt, err = l.findEpochs(ctx, rebuilt, info.State.FirstSeq, first, last, newest); err != nil {
		return nil, err
	}
	for _, g := range t.Gaps {
		rebuilt = rebuilt.lose(g.Range, g.Noticed)
	}
	if l.attached {
		return rebuilt, nil
	}
	l.client.log.Warn().Str("bucket", Bucket).Msg("the journal's epochs were lost; they were determined from its records")
	return rebuilt, l.state.saveTable(ctx, rebuilt)
}

// findEpochs adds the epochs that begin between two records with these offsets.
func (l *Log) findEpochs(ctx context.Context, t *table, low, lowOffset, high, highOffset uint64) (*table, error) {
	if lowOffset >= highOffset {
		return t, nil
	}
	if high == low+1 {
		next := t.lose(journal.Range{First: low + lowOffset + 1, Last: high + highOffset - 1}, time.Now())
		return &table{Epochs: append(next.Epochs, epoch{From: high, Offset: highOffset}), Gaps: next.Gaps}, nil
	}
	middle := low + (high-low)/2
	offset, at, err := l.offsetAt(ctx, middle, true)
	if err != nil {
		return nil, err
	}
	if at >= high { // nothing is left in this half
		return l.findEpochs(ctx, t, low, lowOffset, middle, highOffset)
	}
	if t, err = l.findEpochs(ctx, t, low, lowOffset, at, offset); err != nil {
		return nil, err
	}
	return l.findEpochs(ctx, t, at, offset, high, highOffset)
}

// offsetAt returns the offset with which a record was written, and its sequence; 0 if there is none.
func (l *Log) offsetAt(ctx context.Context, sequence uint64, next bool) (offset, at uint64, err error) {
	msg, err := l.client.get(ctx, sequence, next)
	if notFound(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	if text := msg.Header.Get(offsetHeader); text != "" {
		if offset, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, nil //nolint:nilerr // not written by relay
		}
	}
	return offset, msg.Sequence, nil
}
