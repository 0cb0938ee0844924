package schedule

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// The schedule of an event that keeps failing, with a restart after each attempt: what is known of it goes through its form on
// disk every time.
func TestRetrySchedule(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			var policy Policy
			start := time.Now()
			state := Retry{Seq: 7, ID: "trt_x", Account: "acc"}
			var gaps []time.Duration
			for !state.Over(policy, time.Now()) {
				began := time.Now()
				time.Sleep(3 * time.Second) // the attempt itself
				ended := time.Now()
				state.Failed(began, ended, policy, errors.New("500"))
				data, err := pipeline.EncodeJSON(state)
				if err != nil {
					t.Fatal(err)
				}
				state = Retry{Seq: 7}
				if err := json.Unmarshal(data, &state); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour / 3600) // the restart
				gaps = append(gaps, state.Next.Sub(ended))
				time.Sleep(time.Until(state.Next))
			}
			if d := gaps[0]; d < 4*time.Second || d > 6*time.Second {
				t.Errorf("first retry after %v, want 5s and a fifth either way", d)
			}
			nominal := 5 * time.Second
			for i, d := range gaps {
				if d < nominal*8/10-time.Millisecond || d > nominal*12/10+time.Millisecond {
					t.Errorf("delay %d is %v, want %v and a fifth either way", i, d, nominal)
				}
				nominal = min(2*nominal, 10*time.Hour)
			}
			// The last attempt is the first one after 72 h; those before it are at least nine.
			if took := time.Since(start); len(gaps) < 10 || took < 72*time.Hour || took > 72*time.Hour+24*time.Hour {
				t.Errorf("%d attempts in %v, want at least 9 until 72 h have passed", len(gaps), took)
			}
		})
	}
}

// While others wait for it, an event that fails is tried again within 15 s in the first ten minutes, and then seldom, whatever that makes of its attempts.
func TestHeldRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var state Retry
		start := time.Now()
		for time.Since(start) < 72*time.Hour {
			state.Failed(time.Now(), time.Now(), Policy{}, errors.New("500"))
			state.Expedite(time.Now())
			age, wait := time.Since(start), time.Until(state.Next)
			if wait <= 0 || age < 10*time.Minute && wait > 15*time.Second || age >= 10*time.Minute && wait > age {
				t.Errorf("%v after the first attempt the next comes in %v", age, wait)
			}
			time.Sleep(wait)
		}
		if state.Attempts < 50 || state.Attempts > 80 {
			t.Errorf("%d attempts", state.Attempts)
		}
		state.Failed(time.Now(), time.Now(), Policy{}, pipeline.RetryAfter(time.Hour, errors.New("500")))
		if state.Expedite(time.Now()); time.Until(state.Next) < time.Hour {
			t.Errorf("comes %v before the time that was asked for", time.Hour-time.Until(state.Next))
		}
	})
}

// What a destination asks for is never violated, nor stretched when it asks for less than is due.
func TestRetryAfterIsAFloor(t *testing.T) {
	for _, asked := range []time.Duration{0, time.Second, time.Minute, 24 * time.Hour} {
		var r Retry
		now := time.Now()
		r.Failed(now, now, Policy{}, pipeline.RetryAfter(asked, errors.New("503")))
		if got := r.Next.Sub(now); got < asked-time.Microsecond || got < 4*time.Second || got > max(asked, 6*time.Second)+time.Microsecond {
			t.Errorf("asked for %v: next attempt after %v", asked, got)
		}
	}
}

// What the destination asked for one event holds, also when all deferred events are tried again because the destination works again.
func TestRecoveryHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Store{}, prometheus.NewGauge(prometheus.GaugeOpts{}), zerolog.Nop())
		now := time.Now()
		free, held := new(Retry{Seq: 1}), new(Retry{Seq: 2})
		free.Failed(now, now, Policy{Initial: 2 * time.Hour}, errors.New("status 500"))
		held.Failed(now, now, Policy{}, pipeline.RetryAfter(time.Hour, errors.New("status 500")))
		l.byTime = byTime{free, held}
		time.Sleep(time.Minute)
		l.MakeDue(now)
		if got := free.Next.Sub(now); got != time.Minute {
			t.Errorf("tried after %v, want at once when the destination works, after 1m", got)
		}
		if got := held.Next.Sub(now); got < time.Hour {
			t.Errorf("tried after %v, but the destination asked for 1h", got)
		}
	})
}
