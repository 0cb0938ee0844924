package delivery

import (
	"path/filepath"
	"testing"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A lane that comes to the journal's end is idle there, for its cursor, only when it has what is between its position and the reader's: the cursors may be
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
	if ok, err := reader.attach(t.Context(), f, cursor.Position{Next: 1}); !ok || err != nil {
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

// A lane that leaves the journal's end does not move on with it: the cursors may be saved, and relay killed, before it has said so itself.
func TestCursorOfALaneThatLeavesTheEnd(t *testing.T) {
	for _, what := range []string{"it leaves", "all leave"} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, t.TempDir())
			path := filepath.Join(t.TempDir(), "cursors")
			store, _, err := cursor.Open(t.Context(), r.state, path, r.logger())
			if err != nil {
				t.Fatal(err)
			}
			reader := newReader(r.journal, cursor.Position{Next: 1}, r.logger())
			reader.dirty = store.MarkDirty
			store.Follow(reader.position)
			feeds := make(map[string]*feed)
			for _, sink := range []string{"leaves", "stays"} {
				f := newFeed(interest{sink: sink}, func() (int, int) { return maxHeld, maxHeldBytes })
				feeds[sink] = f
				position := cursor.Position{Next: 1}
				if err := store.Open(sink, func(end cursor.Position, _ bool) (journal.Cursor, bool) {
					if !f.idle() {
						return journal.Cursor{Next: position.Next}, false
					}
					return journal.Cursor{Next: end.Next}, true
				}); err != nil {
					t.Fatal(err)
				}
				if ok, err := reader.attach(t.Context(), f, position); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
			if err := store.Save(true); err != nil {
				t.Fatal(err)
			}
			if what == "it leaves" {
				reader.detach(feeds["leaves"], func() cursor.Position { return cursor.Position{Next: 1} })
			} else {
				reader.mu.Lock()
				reader.detachAll()
				reader.mu.Unlock()
			}
			r.put(r.entries(10)...)
			s, err := cursor.Read(t.Context(), r.journal, reader.position(), 100)
			if err != nil {
				t.Fatal(err)
			}
			reader.distribute(&s)
			store.MarkDirty("stays")
			if err := store.Save(false); err != nil { // and then it is killed
				t.Fatal(err)
			}
			again, _, err := cursor.Open(t.Context(), r.state, path, r.logger())
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := again.Find("leaves"); !ok || c.Next != 1 {
				t.Errorf("its cursor is at %d, and it has got nothing", c.Next)
			}
		})
	}
}

func (r *rig) entries(n int) (all []journal.Entry) {
	for i := range n {
		e := newEvent("acc", pipeline.OriginLive, i)
		all = append(all, entryOf(r.t, &e))
	}
	return all
}
