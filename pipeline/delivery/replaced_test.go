package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/journal"
)

// An event takes the position of one that was lost before the lane got it. Whenever relay is killed while the lane takes it, it is delivered after that.
func TestReplacementIsNeverSettledTooSoon(t *testing.T) {
	for _, inOrder := range []bool{false, true} {
		t.Run(fmt.Sprint("in order ", inOrder), func(t *testing.T) { testReplacement(t, inOrder) })
	}
}

func testReplacement(t *testing.T, inOrder bool) {
	r := newRig(t, t.TempDir())
	l, err := r.home.Open(t.Context(), &box{}, LaneConfig{Sink: "box", Log: r.logger()})
	if err != nil {
		t.Fatal(err)
	}
	l.ledger.inOrder = inOrder
	e := newEvent("acc", pipeline.OriginLive, 1)
	record := journal.Record{Number: 12, Entry: entryOf(t, &e)}
	record.Ref, record.Was = 5, pipeline.OriginLive
	l.ledger.restore(journal.Cursor{Next: 10, Missing: []journal.Range{{First: 5, Last: 5}}})
	killed := func() (delivered bool) { // now, with the cursor saved just before
		again := newLedger(l.ledger.cursor(cursor.Position{}, false), inOrder, nil)
		if again.deferred.Contains(record.Number) {
			return !again.waitsFor(record.Ref, record.Number)
		}
		return record.Number >= again.at.Next && again.replaces(record.Ref, record.Number)
	}
	if !killed() {
		t.Error("killed before")
	}
	if !l.wants(&record) {
		t.Fatal("the lane does not want it")
	}
	if !killed() {
		t.Error("killed when the lane had decided to take it")
	}
	if l.wants(&record) {
		t.Error("the lane wants it twice")
	}
	d := &delivery{number: record.Number, record: l.recordOf(&record), at: time.Now()}
	l.ledger.take([]*delivery{d}, cursor.Behind(&record))
	if !killed() {
		t.Error("killed when the lane had it in hand")
	}
	if c := l.ledger.cursor(cursor.Position{}, false); len(c.Missing)+len(c.Open) != 1 {
		t.Errorf("the cursor is %+v", c)
	}
	l.ledger.settle([]*delivery{d})
	if c := l.ledger.cursor(cursor.Position{}, false); len(c.Missing)+len(c.Open) > 0 || c.Next != 13 {
		t.Errorf("the cursor is %+v", c)
	}
}
