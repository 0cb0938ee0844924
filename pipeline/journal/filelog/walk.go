package filelog

import (
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
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
// are missing or bytes are no frame. The scanner's Prev is the number before the first one expected.
func walk(s *frame.Scanner, segment, last uint64, record func(*frame.Item) (bool, error), lost func(loss)) error {
	prev := s.Prev
	var before time.Time
	bad := loss{segment: segment}
	var it frame.Item
	for prev < last {
		var err error
		if it, err = s.Next(); err != nil {
			return err
		}
		switch it.Kind {
		case frame.KindBad:
			if bad.size == 0 {
				bad.off = it.Off
			}
			bad.size = it.Off + it.Size - bad.off
			continue
		case frame.KindControl:
			continue
		case frame.KindRecord, frame.KindEnd:
		}
		end := it.Kind == frame.KindEnd || it.Number > last
		if end {
			it.Number = last + 1
		}
		if bad.size > 0 || it.Number > prev+1 {
			if bad.size == 0 {
				bad.off = it.Off
			}
			bad.span, bad.before = journal.Span{First: prev + 1, Last: it.Number - 1}, before
			if !end {
				bad.after = recordTime(&it)
			}
			lost(bad)
			bad = loss{segment: segment}
		}
		if end {
			return nil
		}
		prev, before = it.Number, recordTime(&it)
		if more, err := record(&it); err != nil || !more {
			return err
		}
	}
	return nil
}

func recordTime(it *frame.Item) time.Time { return journal.EntryTime(it.Body) }
