package attempts

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// backStep is how many entries are read at once on the way back from the end of the log.
const backStep = 64

// lineBits is how many bits of the number of an attempt are its place in its entry, which is much smaller.
const lineBits = 16

// Select implements [journal.Attempts]. It looks for the first of the newest n attempts backwards from the end, and
// remembers no attempts on the way, so memory stays bounded for any n.
func (r Reader) Select(ctx context.Context, f journal.AttemptFilter, n int) iter.Seq2[journal.NumberedAttempt, error] {
	return func(yield func(journal.NumberedAttempt, error) bool) {
		if r.log == nil {
			return
		}
		s := newSelection(f)
		from, err := journal.SeekTime(ctx, r.log, f.Since) // an attempt is written after it was made
		_, until := r.log.Bounds()
		skip := 0
		if err == nil && n > 0 {
			from, skip, err = s.nthNewest(ctx, r.log, from, until, n)
		}
		if err != nil {
			yield(journal.NumberedAttempt{}, fmt.Errorf("read the log of attempts: %w", err))
			return
		}
		for a, err := range s.scan(ctx, r.log, from, until) {
			if err != nil {
				yield(a, fmt.Errorf("read the log of attempts: %w", err))
				return
			}
			if skip > 0 {
				skip--
				continue
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// selection is a filter of attempts, with what a line must contain so that it is worth decoding.
type selection struct {
	journal.AttemptFilter
	sinks, accounts, ids [][]byte // quoted
}

func newSelection(f journal.AttemptFilter) *selection {
	quoted := func(all []string) (quoted [][]byte) {
		for _, text := range all {
			quoted = append(quoted, appendText(nil, text))
		}
		return quoted
	}
	return &selection{AttemptFilter: f, sinks: quoted(f.Sinks), accounts: quoted(f.Accounts), ids: quoted(f.IDs)}
}

// mayTake reports whether a line, or one of several lines, can match.
func (s *selection) mayTake(text []byte) bool {
	for _, all := range [][][]byte{s.sinks, s.accounts, s.ids} {
		if len(all) > 0 && !slices.ContainsFunc(all, func(quoted []byte) bool { return bytes.Contains(text, quoted) }) {
			return false
		}
	}
	return !s.Digests || bytes.Contains(text, []byte(journal.DigestIDPrefix))
}

func (s *selection) takes(a *pipeline.Attempt) bool {
	one := func(wanted []string, value string) bool { return len(wanted) == 0 || slices.Contains(wanted, value) }
	return one(s.Sinks, a.Sink) && one(s.Accounts, a.Account) &&
		(len(s.IDs) == 0 || slices.ContainsFunc(a.Events, func(id string) bool { return slices.Contains(s.IDs, id) })) &&
		(!s.Digests || slices.ContainsFunc(a.Events, isDigest)) &&
		(s.Outcome == 0 || (s.Outcome == journal.Accepted) == (a.Error == "")) &&
		!a.Time.Before(s.Since) && (s.Until.IsZero() || a.Time.Before(s.Until))
}

func isDigest(id string) bool { return strings.HasPrefix(id, journal.DigestIDPrefix) }

// scan yields the matching attempts of the entries from from up to, but not including, until.
func (s *selection) scan(ctx context.Context, log journal.Log, from, until uint64) iter.Seq2[journal.NumberedAttempt, error] {
	return func(yield func(journal.NumberedAttempt, error) bool) {
		for rec, err := range journal.Scan(ctx, log, from, until) {
			if err != nil {
				yield(journal.NumberedAttempt{}, err)
				return
			}
			more := true
			_, lines, err := decode(rec.Data)
			if err == nil && s.mayTake(lines) {
				line := uint64(0)
				err = eachAttempt(lines, func(text []byte) bool { line++; return s.mayTake(text) }, func(a pipeline.Attempt) bool {
					more = !s.takes(&a) || yield(journal.NumberedAttempt{Number: rec.Number<<lineBits | line, Attempt: a}, nil)
					return more
				})
			}
			if err != nil {
				yield(journal.NumberedAttempt{}, fmt.Errorf("number %d: %w", rec.Number, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// nthNewest returns the number of the entry with the nth matching attempt, counted backwards from until, and how many
// matching attempts of that entry precede it. If there are fewer, it returns from.
func (s *selection) nthNewest(ctx context.Context, log journal.Log, from, until uint64, n int) (entry uint64, skip int, err error) {
	for from < until {
		begin := from
		if until-from > backStep {
			begin = until - backStep
		}
		counts := make([]int, until-begin)
		for a, err := range s.scan(ctx, log, begin, until) {
			if err != nil {
				return 0, 0, err
			}
			counts[a.Number>>lineBits-begin]++
		}
		for i, count := range slices.Backward(counts) {
			if count >= n {
				return begin + uint64(i), count - n, nil //nolint:gosec // an index
			}
			n -= count
		}
		until = begin
	}
	return from, 0, nil
}
