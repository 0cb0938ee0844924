package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// logins are those of an account, of which one is the present one.
type logins struct {
	login Login
	ahead time.Duration // of the provider's clock
	none  bool
}

// Login implements [Logins].
func (l *logins) Login() (Login, bool) { return l.login, !l.none }

// Adopt implements [Logins].
func (l *logins) Adopt(_ context.Context, id string) error {
	if id == l.login.ID {
		l.login.Fresh = false
	}
	return nil
}

// again makes another login.
func (l *logins) again(id string, at time.Time) { l.login = Login{id, at, true} }

// account is a provider whose replies say which login they were given to.
type loggedIn struct {
	*provider
	*logins
}

type answer struct {
	Reply
	*logins
}

// Answered implements answered.
func (a answer) Answered() (Login, time.Duration) { return a.login, a.ahead }

// Fetch implements [History].
func (l loggedIn) Fetch(ctx context.Context) (Reply, error) {
	r, err := l.provider.Fetch(ctx)
	return answer{r, l.logins}, err
}

// newcomer is an account that logged in at that time.
func newcomer(at time.Time) loggedIn {
	return loggedIn{&provider{}, &logins{login: Login{"first", at, true}}}
}

// begins makes the reconciler of an account as the daemon does.
func (r *rig) begins(l loggedIn, cfg ReconcileConfig) *Reconciler {
	r.t.Helper()
	cfg.Logins = l
	in := r.intake("acc")
	if err := NewReconciler(in, l, cfg).Begin(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return r.reconciler(in, l, cfg)
}

// to is a dish for a receiver.
func to(receiver, title string, begin time.Time, second int) json.RawMessage {
	return json.RawMessage(strings.Replace(string(dish(title, begin, second)), `{`, fmt.Sprintf(`{"receiver":%q,`, receiver), 1))
}

// Whatever the first replies of an account are, and however long they last: what is dated from the login on arrives, and what is dated before
// does not.
func TestTreatsOfANewAccount(t *testing.T) {
	for name, first := range map[string]func() ([]byte, error){
		"500":            func() ([]byte, error) { return nil, errors.New("HTTP 500") },
		"404":            func() ([]byte, error) { return nil, errors.New("HTTP 404") },
		"null":           func() ([]byte, error) { return []byte(`null`), nil }, // 204 too
		"data null":      func() ([]byte, error) { return []byte(`{"data":null}`), nil },
		"data object":    func() ([]byte, error) { return []byte(`{"data":{}}`), nil },
		"message":        func() ([]byte, error) { return []byte(`{"message":"try later"}`), nil },
		"no success":     func() ([]byte, error) { return []byte(`{"success":false}`), nil },
		"error":          func() ([]byte, error) { return []byte(`{"error":"try later"}`), nil },
		"web page":       func() ([]byte, error) { return []byte(`<html>`), nil },
		"cut off":        func() ([]byte, error) { return []byte(`[{"title":"T`), nil },
		"never asked":    nil,
		"an empty list":  func() ([]byte, error) { return []byte(`[]`), nil },
		"asked at once ": func() ([]byte, error) { return nil, errors.New("not yet") },
	} {
		t.Run(name, func(t *testing.T) {
			r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening()
			l := newcomer(begin)
			rec := r.begins(l, ReconcileConfig{})
			if first != nil {
				l.reply = first
				for range 2 {
					if got, err := rec.Reconcile(t.Context()); err == nil && (got.Known+got.Healed > 0 || got.NoList == (name == "an empty list")) {
						t.Errorf("%+v", got)
					}
				}
			}
			for _, second := range []int{-20 * 24 * 3600, -3600, -2, -1, 0, 1, 5} {
				l.add(dish(fmt.Sprint(second), begin, second))
			}
			l.add(json.RawMessage(`{"title":"undated"}`))
			r.stop() // and starts again
			r = newRigKept(t, r.dir, 840*time.Hour)
			l.reply = nil
			rec = r.begins(l, ReconcileConfig{})
			got := r.reconcile(rec)
			if name == "an empty list" { // it said that there is nothing: what comes to be in it later is new, if it is not much older
				if got.FirstRun || got.Healed != 6 || got.Older != 1 || got.Undated != 1 {
					t.Errorf("%+v", got)
				}
				return
			}
			if !got.FirstRun || got.Known != 4 || got.Healed != 3 || got.Undated != 1 {
				t.Errorf("%+v", got)
			}
			r.want("acc", "0+", "1+", "5+")
			if l.login.Fresh {
				t.Error("the login does not know that the journal has its moment")
			}
			if got := r.reconcile(rec); got.FirstRun || got.Healed != 0 {
				t.Errorf("once more: %+v", got)
			}
		})
	}
}

// Without a login whose moment is known the first start counts, and it counts from then on, whatever happens.
func TestFirstStartIsDurable(t *testing.T) {
	r := newRigKept(t, t.TempDir(), 840*time.Hour)
	l := newcomer(time.Time{})
	l.none = true
	r.begins(l, ReconcileConfig{}) // nobody has logged in
	if _, _, err := r.journal.State().Get(t.Context(), journal.HistoryKey("acc")); !errors.Is(err, journal.ErrNoKey) {
		t.Errorf("there is a baseline: %v", err)
	}
	l.none = false
	start := time.Now().Truncate(time.Second)
	for range 3 {
		r.stop()
		r = newRigKept(t, r.dir, 840*time.Hour)
		r.begins(l, ReconcileConfig{})
	}
	rec := r.begins(l, ReconcileConfig{})
	l.add(dish("before", start, -2), dish("after", start, 30))
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 1 || got.Healed != 1 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "after+")
}

// Dates are the provider's: so is the clock by which they are before or after a start.
func TestFirstStartByTheProvidersClock(t *testing.T) {
	for _, ahead := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		r := newRigKept(t, t.TempDir(), 840*time.Hour)
		l := newcomer(time.Time{})
		l.ahead = ahead
		start := time.Now().Add(ahead).Truncate(time.Second)
		rec := r.begins(l, ReconcileConfig{})
		l.add(dish("before", start, -60), dish("after", start, 60))
		if got := r.reconcile(rec); got.Known != 1 || got.Healed != 1 {
			t.Errorf("%v ahead: %+v", ahead, got)
		}
		r.want("acc", "after+")
	}
}

// Dates of the future are of a zone farther east than the configured one, and so is what is before and after the login.
func TestBaselineInAnotherZone(t *testing.T) {
	r := newRigKept(t, t.TempDir(), 840*time.Hour)
	now := time.Now().Truncate(time.Second)
	l := newcomer(now.Add(-40 * time.Minute))
	rec := r.begins(l, ReconcileConfig{})
	east := now.Add(2 * time.Hour) // the same moment there
	l.add(dish("an hour ago", east, -3600), dish("after the login", east, -1200), dish("now", east, -10))
	if got := r.reconcile(rec); got.Known != 1 || got.Healed != 2 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "after the login+", "now+")
}

func TestBackfillFirstRunOfANewAccount(t *testing.T) {
	r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening()
	l := newcomer(begin)
	rec := r.begins(l, ReconcileConfig{BackfillFirstRun: true})
	l.add(dish("old", begin, -20*24*3600), dish("new", begin, 1))
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 2 {
		t.Errorf("%+v", got)
	}
	l.add(dish("as old", begin, -20*24*3600))
	r.reconcile(rec)
	r.want("acc", "old+", "new+", "as old+")
}

// A journal that is emptied, or another one, is no journal of a new account: the month is not sent out.
func TestJournalIsEmptied(t *testing.T) {
	begin := evening()
	l := newcomer(begin.Add(-20 * 24 * time.Hour))
	l.add(dish("old", begin, -10*24*3600), dish("recent", begin, 0))
	r := newRigKept(t, t.TempDir(), 840*time.Hour)
	if got := r.reconcile(r.begins(l, ReconcileConfig{})); got.Healed != 2 {
		t.Errorf("%+v", got)
	}
	r = newRigKept(t, t.TempDir(), 840*time.Hour)
	if got := r.reconcile(r.begins(l, ReconcileConfig{})); got.Healed != 0 || got.Known != 2 {
		t.Errorf("with another journal: %+v", got)
	}
}

// A baseline of an older relay holds.
func TestBaselineOfAnOlderRelay(t *testing.T) {
	r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening()
	l := newcomer(begin)
	l.login = Login{}
	in := r.intake("acc")
	l.add(to("me", "known", begin, -30))
	rec := r.reconciler(in, l, ReconcileConfig{Logins: l})
	r.reconcile(rec)
	value, _, err := r.journal.State().Get(t.Context(), journal.HistoryKey("acc"))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(value, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"moment", "local", "login", "changed", "channels", "earlier"} {
		delete(fields, name)
	}
	if value, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	if _, err := r.journal.State().Put(t.Context(), journal.HistoryKey("acc"), value, journal.AnyRevision); err != nil {
		t.Fatal(err)
	}
	l.add(to("me", "missed", begin, -20*24*3600)) // as old as you like, as it was
	rec = r.begins(l, ReconcileConfig{})
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 1 {
		t.Errorf("%+v", got)
	}
	// Of the next login the channel is known by then.
	l.again("second", begin)
	l.treats = []json.RawMessage{to("you", "another's", begin, -20)}
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 1 {
		t.Errorf("another channel: %+v", got)
	}
	r.want("acc", "missed+")
}

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

// Treats of one second are journaled in the order of the list, also when a baseline is made first.
func TestNewAccountsOrder(t *testing.T) {
	r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening()
	l := newcomer(begin)
	for _, title := range []string{"a", "b", "c"} {
		l.add(dish(title, begin, 1))
	}
	if got := r.reconcile(r.begins(l, ReconcileConfig{})); !got.FirstRun || got.Healed != 3 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "a+", "b+", "c+")
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

// A moment that cannot be made durable is kept in memory.
func TestBeginWithoutADisk(t *testing.T) {
	r := newRigKept(t, t.TempDir(), 840*time.Hour)
	l := newcomer(time.Time{})
	in := r.intake("acc")
	rec := NewReconciler(in, l, ReconcileConfig{Logins: l})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	first := rec.Begin(gone)
	begun := rec.base.began
	if err := rec.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	value, _, err := r.journal.State().Get(t.Context(), journal.HistoryKey("acc"))
	if err != nil {
		t.Fatal(err)
	}
	var b baseline
	if err := json.Unmarshal(value, &b); err != nil || first != nil && !b.Moment.Equal(begun) || bytes.Contains(value, []byte("null")) {
		t.Errorf("%v after %v: %s", err, first, value)
	}
}
