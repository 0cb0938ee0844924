package segment

import (
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
)

// Loss is a place where records are missing or bytes are damaged.
type Loss struct {
	Numbers journal.Range // the lost numbers; none if First is greater than Last
	Segment uint64
	Offset  int64
	Size    int64 // of the damaged bytes; 0 if they are missing
	Before  time.Time
	After   time.Time // times of the records around it; zero: unknown
}

// Empty reports whether no record is lost.
func (l *Loss) Empty() bool { return l.Numbers.First > l.Numbers.Last }

// Walk reads the records of a segment up to the number last. It calls record for each one until record returns false or an
// error, and lost for each place with missing numbers or damaged bytes. The scanner's Prev must be the number before the
// first expected one.
func Walk(s *frame.Scanner, segment, last uint64, record func(*frame.Item) (bool, error), lost func(Loss)) error {
	prev := s.Prev
	var before time.Time
	bad := Loss{Segment: segment}
	var it frame.Item
	for prev < last {
		var err error
		if it, err = s.Next(); err != nil {
			return err
		}
		switch it.Kind {
		case frame.KindBad:
			if bad.Size == 0 {
				bad.Offset = it.Off
			}
			bad.Size = it.Off + it.Size - bad.Offset
			continue
		case frame.KindControl:
			continue
		case frame.KindRecord, frame.KindEnd:
		}
		end := it.Kind == frame.KindEnd || it.Number > last
		if end {
			it.Number = last + 1
		}
		if bad.Size > 0 || it.Number > prev+1 {
			if bad.Size == 0 {
				bad.Offset = it.Off
			}
			bad.Numbers, bad.Before = journal.Range{First: prev + 1, Last: it.Number - 1}, before
			if !end {
				bad.After = RecordTime(&it)
			}
			lost(bad)
			bad = Loss{Segment: segment}
		}
		if end {
			return nil
		}
		prev, before = it.Number, RecordTime(&it)
		if more, err := record(&it); err != nil || !more {
			return err
		}
	}
	return nil
}

// RecordTime returns the time of a record without decoding the rest.
func RecordTime(it *frame.Item) time.Time { return journal.EntryTime(it.Body) }
