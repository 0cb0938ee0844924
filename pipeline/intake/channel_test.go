package intake

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A step is a login and what its channel's history holds by then.
type step struct {
	login  string // another one than before; empty: the same
	at     int    // of the login, in minutes after the first
	treats []json.RawMessage
	known  int
	healed int
}

// month is the old treats of a channel, n of them, from before begin.
func month(receiver string, begin time.Time, n int) (all []json.RawMessage) {
	for i := range n {
		all = append(all, to(receiver, fmt.Sprint(receiver, i), begin, -3600*(n-i)))
	}
	return all
}

func TestLoginAsAnotherChannel(t *testing.T) {
	begin := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	at := func(receiver, title string, minute int) json.RawMessage { return to(receiver, title, begin, minute*60) }
	with := func(all []json.RawMessage, more ...json.RawMessage) []json.RawMessage {
		return append(slices.Clip(all), more...)
	}
	wrong, right, silent := month("Wrong", begin, 5), month("right", begin, 29), month("", begin, 29)
	for name, steps := range map[string][]step{
		"the wrong one first": {
			{"", 0, wrong, 5, 0},
			{"2", 60, with(right, at("right", "before", 59), at("right", "after", 61)), 30, 1},
			{"", 0, with(right, at("right", "before", 59), at("right", "after", 61), at("right", "later", 90)), 0, 1},
		},
		"the wrong one first, without treats": {
			{"", 0, []json.RawMessage{}, 0, 0},
			{"2", 60, with(right, at("right", "after", 61)), 29, 1},
		},
		"the wrong one first, and the right one without treats for a while": {
			{"", 0, wrong, 5, 0},
			{"2", 60, []json.RawMessage{}, 0, 0},
			{"", 0, []json.RawMessage{at("right", "its first", 70)}, 0, 1},
		},
		"and back": {
			{"", 0, wrong, 5, 0},
			{"2", 60, right, 29, 0},
			{"3", 120, with(wrong, at("WRONG", "while the other was logged in", 90)), 0, 1},
			{"4", 130, with(right, at("right", "likewise", 125)), 0, 1},
		},
		"the same one": {
			{"", 0, with(right, at("right", "a", 5)), 29, 1},
			{"2", 60, with(right, at("right", "a", 5), at(" RIGHT ", "b", 50)), 0, 1},
			{"3", 70, with(right, at("right", "a", 5), at("Right", "b", 50), at("right", "c", 69)), 0, 1},
		},
		"the same one, without treats so far": {
			{"", 0, []json.RawMessage{}, 0, 0},
			{"2", 60, []json.RawMessage{at("right", "while nobody was logged in", 50)}, 0, 1},
		},
		"receivers are not told": {
			{"", 0, month("", begin.Add(-time.Minute), 5), 5, 0},
			{"2", 60, with(silent, at("", "before", 59), at("", "after", 61)), 30, 1},
			{"3", 90, with(silent, at("", "before", 59), at("", "after", 61), at("", "missed", 80)), 0, 1},
		},
		"receivers are told by one only": {
			{"", 0, wrong, 5, 0},
			{"2", 60, with(silent, at("", "after", 61)), 29, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigKept(t, t.TempDir(), 840*time.Hour)
			l := newcomer(begin)
			for i, s := range steps {
				rec := r.begins(l, ReconcileConfig{})
				if s.login != "" {
					l.again(s.login, begin.Add(time.Duration(s.at)*time.Minute))
				}
				l.treats = s.treats
				for again := range 2 {
					got := r.reconcile(rec)
					if again == 1 {
						s.known, s.healed = 0, 0
					}
					if got.Known != s.known || got.Healed != s.healed {
						t.Errorf("step %d: %+v, want %d known and %d healed", i, got, s.known, s.healed)
					}
				}
				r.stop()
				r = newRigKept(t, r.dir, 840*time.Hour)
			}
			r.told("acc")
		})
	}
}

// What comes live of another channel before its history is compared is no sign that it is the one from before.
func TestAnotherChannelIsLiveFirst(t *testing.T) {
	r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening()
	l := newcomer(begin)
	rec := r.begins(l, ReconcileConfig{})
	r.reconcile(rec)
	l.again("2", begin.Add(10*time.Minute))
	l.add(month("", begin, 29)...)
	live := dish("live", begin, 660)
	l.add(live)
	r.live(rec.intake, live)
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 29 || got.Healed != 0 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "live")
}
