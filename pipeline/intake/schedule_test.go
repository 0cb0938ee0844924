package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/intake/history"
)

func TestUnusableHistory(t *testing.T) {
	var said bytes.Buffer
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	in.log = zerolog.New(&said).Level(zerolog.InfoLevel)
	rec := r.reconciler(in, p, ReconcileConfig{})
	p.reply = func() ([]byte, error) { return []byte(`{"error":"go away"}`), nil }
	for range 3 {
		if _, err := rec.Reconcile(t.Context()); !errors.Is(err, history.ErrUnreadable) || !strings.Contains(err.Error(), "acc") {
			t.Errorf("error %v", err)
		}
	}
	p.reply = func() ([]byte, error) { return nil, errors.New("no network") }
	for range 2 {
		if _, err := rec.Reconcile(t.Context()); err == nil {
			t.Error("no error")
		}
	}
	r.live(in, dish("live", begin, 0))
	p.add(dish("live", begin, 0), dish("before", begin, -1), json.RawMessage(`{"title":"undated"}`), json.RawMessage(`7`))
	p.reply = nil
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 1 || got.Undated != 1 || got.Unusable != 1 {
		t.Errorf("%+v", got)
	}
	r.reconcile(rec)
	r.want("acc", "live")
	for text, times := range map[string]int{"it reports an error": 1, "no network": 1, "can be compared again": 1, "first comparison": 1, "cannot be read: they are": 1, "are not treats": 1} {
		if n := strings.Count(said.String(), text); n != times {
			t.Errorf("%q is said %d times in\n%s", text, n, said.String())
		}
	}
	if got := r.Metric(r.t, "relay_reconcile_total"); got != 7 {
		t.Errorf("relay_reconcile_total = %v, want 7", got)
	}
	if got := r.Metric(r.t, "relay_reconcile_unusable_items"); got != 2 {
		t.Errorf("relay_reconcile_unusable_items = %v, want 2", got)
	}
}

type clocked struct {
	mu sync.Mutex
	at []time.Time
}

func (c *clocked) Fetch(context.Context) (history.Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Now())
	return nil, errors.New("closed today")
}

func (c *clocked) asked() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.at)
}

func scheduled(t *testing.T, every time.Duration, use func(t *testing.T, rec *Reconciler, c *clocked, start time.Time)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{}
		in := New(Config{Normalizer: Normalizer{Account: "acc", Location: time.UTC}, Logger: zerolog.Nop()})
		rec := NewReconciler(in, c, ReconcileConfig{Every: every})
		rec.batches.due = false // for there is no journal
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { rec.Run(ctx) })
		use(t, rec, c, time.Now())
		cancel()
		run.Wait()
		if _, err := rec.Reconcile(t.Context()); !errors.Is(err, errNotReconciling) {
			t.Errorf("after its end: error %v", err)
		}
	})
}

func TestReconcileSchedule(t *testing.T) {
	scheduled(t, 15*time.Minute, func(t *testing.T, rec *Reconciler, c *clocked, start time.Time) {
		rec.Wake()
		synctest.Wait()
		if at := c.asked(); len(at) != 1 || !at[0].Equal(start) {
			t.Fatalf("asked at %v, want at once", at)
		}
		for range 10 { // a connection that comes and goes
			rec.Wake()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if at := c.asked(); len(at) != 2 || at[1].Sub(at[0]) != minPause {
			t.Fatalf("asked at %v, want once more after %v", at, minPause)
		}
		// It has no answer: asked again soon, and then less and less often.
		time.Sleep(10 * time.Hour)
		at := c.asked()
		waits := map[time.Duration]bool{}
		usual := 2 * retryDelay
		for i := 2; i < len(at); i++ {
			wait := at[i].Sub(at[i-1])
			waits[wait] = true
			low, high := usual*9/10, usual*11/10
			if usual *= 2; low > 13*time.Minute {
				low, high, usual = 13*time.Minute+30*time.Second, 16*time.Minute+30*time.Second, 15*time.Minute
			}
			if wait < min(low, 13*time.Minute+30*time.Second) || wait > high {
				t.Errorf("wait %d was %v, want %v to %v", i, wait, low, high)
			}
		}
		if len(at) < 40 || len(waits) < 10 {
			t.Errorf("asked %d times in 10 hours, after %d different waits", len(at), len(waits))
		}
	})
}

func TestReconcileLooksTwice(t *testing.T) {
	rec := NewReconciler(New(Config{}), &clocked{}, ReconcileConfig{Every: 15 * time.Minute})
	usual := func(wait time.Duration) bool { return wait >= 13*time.Minute && wait <= 17*time.Minute }
	for range 100 {
		if wait := rec.nextDelay(nil, true); wait != recheckDelay {
			t.Errorf("after a connection: %v", wait)
		}
		if wait := rec.nextDelay(nil, false); !usual(wait) {
			t.Errorf("after an ordinary comparison: %v", wait)
		}
		if wait := rec.nextDelay(errors.New("no answer"), true); wait < retryDelay*8/10 || wait > retryDelay*12/10 {
			t.Errorf("after a first failure: %v", wait)
		}
	}
	for range 20 {
		_ = rec.nextDelay(errors.New("no answer"), false)
	}
	if wait := rec.nextDelay(errors.New("no answer"), false); !usual(wait) {
		t.Errorf("after many failures: %v", wait)
	}
}

func TestReconcileTurnedOff(t *testing.T) {
	scheduled(t, 0, func(t *testing.T, rec *Reconciler, c *clocked, _ time.Time) {
		rec.Wake()
		time.Sleep(time.Hour)
		if at := c.asked(); len(at) != 0 {
			t.Errorf("asked at %v", at)
		}
		if _, err := rec.Reconcile(t.Context()); err == nil || len(c.asked()) != 1 {
			t.Errorf("error %v, asked %d times", err, len(c.asked()))
		}
	})
}
