package filelog

import (
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// loss is a place where something is missing or damaged.
type loss struct {
	span    journal.Span // the numbers that are lost; none if First is greater than Last
	segment uint64
	off     int64
	size    int64 // of what is no frame; 0 if nothing is left
	before  time.Time
	after   time.Time // of the records around it; zero if unknown
}

func (l *loss) none() bool { return l.span.First > l.span.Last }

// walk reads the records of a segment up to the number last. It calls record for each, which reports whether to go on, and lost for each place where numbers
// are missing or bytes are no frame. The scanner's prev is the number before the first one expected.
func walk(s *scanner, segment, last uint64, record func(*item) (bool, error), lost func(loss)) error {
	prev := s.prev
	var before time.Time
	bad := loss{segment: segment}
	var it item
	for prev < last {
		var err error
		if it, err = s.next(); err != nil {
			return err
		}
		switch it.kind {
		case itemBad:
			if bad.size == 0 {
				bad.off = it.off
			}
			bad.size = it.off + it.size - bad.off
			continue
		case itemControl:
			continue
		case itemRecord, itemEnd:
		}
		end := it.kind == itemEnd || it.number > last
		if end {
			it.number = last + 1
		}
		if bad.size > 0 || it.number > prev+1 {
			if bad.size == 0 {
				bad.off = it.off
			}
			bad.span, bad.before = journal.Span{First: prev + 1, Last: it.number - 1}, before
			if !end {
				bad.after = recordTime(&it)
			}
			lost(bad)
			bad = loss{segment: segment}
		}
		if end {
			return nil
		}
		prev, before = it.number, recordTime(&it)
		if more, err := record(&it); err != nil || !more {
			return err
		}
	}
	return nil
}

func recordTime(it *item) time.Time { return journal.EntryTime(it.body) }
