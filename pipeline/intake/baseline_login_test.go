package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/history"
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

// loggedIn is a provider whose replies say which login they were given to.
type loggedIn struct {
	*provider
	*logins
}

type answer struct {
	history.Reply
	*logins
}

// Answered implements answered.
func (a answer) Answered() (Login, time.Duration) { return a.login, a.ahead }

// Fetch implements [History].
func (l loggedIn) Fetch(ctx context.Context) (history.Reply, error) {
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
			if name == "an empty list" { // it said that there is nothing: what comes to be in it runNext is new, if it is not much older
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
	if _, _, err := r.Journal.State().Get(t.Context(), journal.HistoryKey("acc")); !errors.Is(err, journal.ErrNoKey) {
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

// A live treat shows the zone of the dates, if there is one before the history can be read.
func TestBaselineInTheZoneOfALiveTreat(t *testing.T) {
	for _, zone := range []time.Duration{-5 * time.Hour, 330 * time.Minute} {
		r := newRigKept(t, t.TempDir(), 840*time.Hour)
		now := time.Now().Truncate(time.Second)
		l := newcomer(now.Add(-40 * time.Minute))
		rec := r.begins(l, ReconcileConfig{})
		there := now.Add(zone)
		live := dish("live", there, 0)
		r.live(rec.intake, live)
		if err := rec.intake.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.add(dish("an hour ago", there, -3600), dish("missed", there, -1200), live)
		if got := r.reconcile(rec); got.Known != 1 || got.Healed != 1 {
			t.Errorf("%v east: %+v", zone, got)
		}
		r.want("acc", "live", "missed+")
	}
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
	value, _, err := r.Journal.State().Get(t.Context(), journal.HistoryKey("acc"))
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
	if _, err := r.Journal.State().Put(t.Context(), journal.HistoryKey("acc"), value, journal.AnyRevision); err != nil {
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
	value, _, err := r.Journal.State().Get(t.Context(), journal.HistoryKey("acc"))
	if err != nil {
		t.Fatal(err)
	}
	var b baseline
	if err := json.Unmarshal(value, &b); err != nil || first != nil && !b.Cutoff.Equal(begun) || bytes.Contains(value, []byte("null")) {
		t.Errorf("%v after %v: %s", err, first, value)
	}
}
