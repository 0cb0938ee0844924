package delivery

import (
	"testing"

	"github.com/treatrelay/relay/pipeline/delivery/cursor"
)

// A lane that comes to the journal's end is idle there, for its cursor, only when it has what is between its place and the reader's: the cursors may be
// saved at any moment, and relay killed then.
func TestAttachIsNeverIdleTooSoon(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.send("acc", 0, 10)
	r.stack.Written()
	end, err := cursor.End(t.Context(), r.journal)
	if err != nil {
		t.Fatal(err)
	}
	reader := newReader(r.journal, end, r.logger())
	reader.dirty = func(string) {}
	var f *feed
	asked := 0
	f = newFeed(interest{sink: "s"}, func() (int, int) {
		asked++
		if f.idle() {
			t.Error("its cursor would be at the end, and it has nothing yet")
		}
		return maxHeld, maxHeldBytes
	})
	if ok, err := reader.attach(t.Context(), f, cursor.Place{Next: 1}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if asked == 0 || f.idle() {
		t.Error("nothing was handed over")
	}
	if p, attached := f.take(); len(p.records) != 10 || !attached {
		t.Errorf("%d records, attached: %v", len(p.records), attached)
	}
	if f.done(); !f.idle() {
		t.Error("it is not idle at the end")
	}
}
