package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/pipeline"

	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/match"
)

// provider is the history of an account at its provider.
type provider struct {
	mu     sync.Mutex
	treats []json.RawMessage // oldest first
	reply  func() ([]byte, error)
}

type reply struct{ *bytes.Reader }

func (reply) Close() error { return nil }

// Fetch implements [History]: newest first, as the simulator does, or what reply says.
func (p *provider) Fetch(context.Context) (history.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reply != nil {
		text, err := p.reply()
		return reply{bytes.NewReader(text)}, err
	}
	newest := slices.Clone(p.treats)
	slices.Reverse(newest)
	text, err := json.Marshal(newest)
	if newest == nil {
		text = []byte("[]")
	}
	return reply{bytes.NewReader(text)}, err
}

func (p *provider) add(treats ...json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.treats = append(p.treats, treats...)
}

// dish is a treat of so many seconds after begin.
func dish(title string, begin time.Time, second int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"sender":"s","title":%q,"date_created":%q}`,
		title, begin.Add(time.Duration(second)*time.Second).UTC().Format(time.DateTime)))
}

// evening is a time in the recent past.
func evening() time.Time { return time.Now().Add(-20 * time.Minute).Truncate(time.Second) }

// reconciler runs one until the test ends.
func (r *rig) reconciler(in *Intake, h History, cfg ReconcileConfig) *Reconciler {
	r.t.Helper()
	rec := NewReconciler(in, h, cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		rec.Run(ctx)
	}()
	stop := r.stop
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		stop()
	})
	r.t.Cleanup(r.stop)
	return rec
}

func (r *rig) reconcile(rec *Reconciler) Reconciliation {
	r.t.Helper()
	result, err := rec.Reconcile(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// told lists an account's journal: the title of each event, with a + if it is from the history.
func (r *rig) told(account string) (all []string) {
	r.t.Helper()
	ids := map[string]bool{}
	for _, e := range r.journaled(account) {
		text := *e.Data.Title
		if e.Origin == pipeline.OriginBackfill {
			text += "+"
		}
		if ids[e.ID] {
			r.t.Errorf("two events have the id %s", e.ID)
		}
		ids[e.ID] = true
		all = append(all, text)
	}
	return all
}

func (r *rig) want(account string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.told(account)); diff != "" {
		r.t.Errorf("journal of %s (-want +got):\n%s", account, diff)
	}
}

func TestReconcile(t *testing.T) {
	dir, begin := t.TempDir(), evening()
	r := newRig(t, dir)
	p := &provider{}
	p.add(dish("old", begin, 0), dish("old", begin, 0), dish("older", begin, -5))
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 3 || got.Healed != 0 {
		t.Errorf("first run: %+v", got)
	}
	r.want("acc")

	// Missed, live and missed again; two of one second.
	p.add(dish("a", begin, 10), dish("a", begin, 10), dish("b", begin, 11), dish("c", begin, 12), dish("c", begin, 12), dish("old", begin, 0))
	r.live(in, dish("b", begin, 11))
	r.live(in, dish("c", begin, 12))
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 4 || got.Held != 9 {
		t.Errorf("after a gap: %+v", got)
	}
	want := []string{"b", "c", "old+", "a+", "a+", "c+"}
	r.want("acc", want...)
	if got := r.reconcile(rec); got.Healed != 0 {
		t.Errorf("once more: %+v", got)
	}
	if got := r.Metric(r.t, "relay_reconcile_healed_total"); got != 4 {
		t.Errorf("relay_reconcile_healed_total = %v, want 4", got)
	}
	r.stop()

	r = newRig(t, dir)
	p.add(dish("d", begin, 13))
	if got := r.reconcile(r.reconciler(r.intake("acc"), p, ReconcileConfig{BackfillFirstRun: true})); got.FirstRun || got.Healed != 1 {
		t.Errorf("after a restart: %+v", got)
	}
	r.want("acc", append(want, "d+")...)
	for _, e := range r.journaled("acc") {
		if at := e.Time.Sub(begin); at < 0 || at > 13*time.Second {
			t.Errorf("%s has the time %v", *e.Data.Title, e.Time)
		}
	}
}

// The reply holds what comes live a moment runNext: it is one treat, at a first run too, and after a restart.
func TestReplyOvertakesTheSocket(t *testing.T) {
	dir, begin := t.TempDir(), evening()
	r := newRig(t, dir)
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	p.add(dish("first", begin, 0))
	r.reconcile(rec)
	r.live(in, dish("first", begin, 0)) // in the baseline, and live all the same
	p.add(dish("first", begin, 0))      // another viewer's; missed
	if got := r.reconcile(rec); got.Healed != 1 {
		t.Errorf("a treat like one of the baseline that came live: %+v", got)
	}
	p.add(dish("a", begin, 1), dish("b", begin, 1))
	r.reconcile(rec)
	r.live(in, dish("a", begin, 1))
	r.live(in, dish("a", begin, 1)) // this is another one
	want := []string{"first", "first+", "a+", "b+", "a"}
	r.count("relay_events_journaled_total", float64(len(want)))
	r.want("acc", want...)
	r.stop()

	r = newRig(t, dir)
	in = r.intake("acc")
	r.live(in, dish("b", begin, 1))
	r.live(in, dish("c", begin, 2))
	r.count("relay_events_journaled_total", 1)
	r.want("acc", append(want, "c")...)
}

// What is queued and not on disk yet is not missing.
func TestReconcileWaitsForTheQueue(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	for n := range 300 {
		p.add(dish(fmt.Sprint(n), begin, n))
		r.live(in, dish(fmt.Sprint(n), begin, n))
	}
	if got := r.reconcile(rec); got.Healed != 0 || got.Held != 300 {
		t.Errorf("%+v", got)
	}
}

// Treats come live while others are being journaled from the history, some of them the very same.
func TestReconcileWhileTreatsComeLive(t *testing.T) {
	const n = 600
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	for i := range n {
		p.add(dish(fmt.Sprint(i), begin, i))
	}
	var live sync.WaitGroup
	live.Go(func() {
		for healing := false; !healing && t.Context().Err() == nil; runtime.Gosched() {
			in.lock.token <- struct{}{}
			healing = slices.ContainsFunc(in.overlap.expected, func(c *expectedTreat) bool { return c.role == missingBefore })
			<-in.lock.token
		}
		for i := n - 1; i >= 0; i -= 2 {
			if err := in.Handle(t.Context(), []json.RawMessage{dish(fmt.Sprint(i), begin, i)}, time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
	if got := r.reconcile(rec); got.Healed < n/2 {
		t.Errorf("more came live than were sent: %+v", got)
	}
	live.Wait()
	r.reconcile(rec)
	got := titles(r.journaled("acc"))
	slices.Sort(got)
	if unique := slices.Compact(slices.Clone(got)); len(got) != n || len(unique) != n {
		t.Errorf("%d events of %d treats for %d", len(got), len(unique), n)
	}
	r.told("acc")
}

// What comes live while the journal is being read is counted once, and so is what still waits for the disk then.
func TestLiveTreatWhileTheJournalIsRead(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	in := r.intake("acc")
	rec := NewReconciler(in, &provider{}, ReconcileConfig{})
	text := `[` + string(dish("a", begin, 0)) + `,` + string(dish("a", begin, 0)) + `,` + string(dish("a", begin, 0)) + `]`
	list, err := history.Read(t.Context(), reply{bytes.NewReader([]byte(text))}, history.Bounds{Zone: time.UTC, Newest: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	c := match.New(list.Treats, time.UTC)
	r.disk.Lock()
	r.live(in, dish("a", begin, 0)) // for which the reading waits
	var counting sync.WaitGroup
	counting.Go(func() {
		if err := rec.countTreats(t.Context(), c, newBaseline(0), func() {}); err != nil {
			t.Error(err)
		}
	})
	r.eventually(func() error {
		in.lock.token <- struct{}{}
		defer func() { <-in.lock.token }()
		if !in.overlap.watching {
			return errors.New("nobody watches what comes live")
		}
		return nil
	})
	r.live(in, dish("a", begin, 0))
	r.disk.Unlock()
	counting.Wait()
	if missing := c.Missing(); len(missing) != 1 {
		t.Errorf("%d of 3 treats are missing, want 1", len(missing))
	}
}

// The history may write a treat's date in another form or zone, leave fields out or escape them. It is the same treat.
func TestHistoryInAnotherForm(t *testing.T) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour) // floating dates are UTC
	live := json.RawMessage(fmt.Sprintf(`{"sender":"Zoë & Max","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Tea","message":"enjoy","date_created":%q}`,
		noon.Format(time.DateTime)))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		history   string
		rewritten int
		healed    int
	}{
		"zone named":           {noon.In(berlin).Format(`{"sender":"Zoë & Max","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Tea","message":"enjoy","date_created":"2006-01-02T15:04:05-07:00"}`), 0, 0},
		"with a T":             {noon.Format(`{"sender":"Zoë & Max","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Tea","message":"enjoy","date_created":"2006-01-02T15:04:05.000Z"}`), 0, 0},
		"zone not named":       {noon.In(berlin).Format(`{"sender":"Zoë & Max","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Tea","message":"enjoy","date_created":"2006-01-02 15:04:05"}`), 1, 0},
		"without the receiver": {noon.Format(`{"sender":"Zoë & Max","title":"Tea","message":"enjoy","date_created":"2006-01-02 15:04:05"}`), 1, 0},
		"escaped":              {noon.Format(`{"sender":"Zo&euml; &amp; Max","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Tea","message":"enjoy","date_created":"2006-01-02 15:04:05"}`), 1, 0},
		"another sender":       {noon.Format(`{"sender":"Zoë","title":"Tea","date_created":"2006-01-02 15:04:05"}`), 0, 1},
		"another second":       {noon.Format(`{"sender":"Zoë & Max","title":"Tea","date_created":"2006-01-02 15:04:06"}`), 1, 0},
		"minutes later":        {noon.Add(2 * time.Minute).Format(`{"sender":"Zoë & Max","title":"Tea","date_created":"2006-01-02 15:04:05"}`), 0, 1},
		"another day":          {noon.AddDate(0, 0, -1).Format(`{"sender":"Zoë & Max","title":"Tea","date_created":"2006-01-02 15:04:05"}`), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigKept(t, t.TempDir(), 840*time.Hour)
			p := &provider{}
			in := r.intake("acc")
			rec := r.reconciler(in, p, ReconcileConfig{Logins: &logins{login: Login{"1", noon.AddDate(0, 0, -2), true}}})
			r.reconcile(rec)
			r.live(in, live)
			p.add(json.RawMessage(tt.history))
			if got := r.reconcile(rec); got.Healed != tt.healed || got.Rewritten != tt.rewritten {
				t.Errorf("%+v, want %d healed and %d in another form", got, tt.healed, tt.rewritten)
			}
			if tt.rewritten == 0 {
				return
			}
			// Two of them are told apart, though one looks like the other: the history knows both.
			p.add(live)
			if got := r.reconcile(rec); got.Healed != 1 {
				t.Errorf("when the history has both: %+v", got)
			}
		})
	}
}

// When the zone of the dates is corrected, nothing that was journaled or known before looks new.
func TestZoneIsCorrected(t *testing.T) {
	r := newRigKept(t, t.TempDir(), 840*time.Hour)
	begin := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	p := &provider{}
	p.add(dish("known", begin, 0))
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{Logins: &logins{login: Login{"1", begin.Add(5 * time.Second), true}}})
	r.reconcile(rec)
	p.add(dish("live", begin, 10), dish("missed", begin, 11))
	r.live(in, dish("live", begin, 10))
	r.reconcile(rec)
	in.norm.Location = time.FixedZone("", 7*3600)
	if got := r.reconcile(rec); got.Healed+got.Rewritten != 0 || got.Held != 3 {
		t.Errorf("in another zone: %+v", got)
	}
	r.want("acc", "live", "missed+")
}

// A journal that is kept for less than the history reaches is no proof that an old treat was missed, not even after it is kept for longer.
// A first run that is cut off before its end is made again, and a baseline of which a part is lost too.
// The state can lose a baseline, or have a damaged one: it is restored from the journal, and what was missed meanwhile is healed.
// A baseline of several entries is read whole.
// Test events and what the operator sends again are not treats of the provider.
// A reply that is no history heals nothing and is no baseline. It is said once, and again when it is over.
// clocked is a history that notes when it is asked, and has nothing to tell.
// scheduled runs a reconciler in a bubble and hands use what it asks.
// After a comparison at a connection there is another one soon, and then the usual ones.
