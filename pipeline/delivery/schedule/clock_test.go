package schedule

import (
	"encoding/json"
	"testing"
	"time"
)

// What was noted with a clock that was ahead is not waited for until that time has come, however often relay is started; with one that was
// right, or is behind now, no more and no less than was decided.
func TestClockSetBack(t *testing.T) {
	now := time.Now()
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Second, 3 * time.Hour, 24 * 365 * time.Hour, 50 * 24 * 365 * time.Hour} {
		noted := now.Add(ahead)
		r := Retry{First: noted.Add(-time.Hour), Last: noted, Next: noted.Add(10 * time.Hour), Floor: noted.Add(time.Hour), Attempts: 6}
		for start := range 3 {
			r = kept(t, r)
			at := now.Add(time.Duration(start) * 10 * time.Second)
			r.wake(at)
			least := min(ahead, 0)
			for name, got := range map[string]struct{ have, want time.Duration }{
				"is tried again": {r.Next.Sub(now), 10 * time.Hour}, "may be tried again": {r.Floor.Sub(now), time.Hour},
			} {
				if got.have < got.want+least-time.Millisecond || got.have > got.want+time.Millisecond {
					t.Errorf("clock %v ahead, start %d: the event %s in %v, want %v", ahead, start, name, got.have, got.want)
				}
			}
			if r.Over(Policy{}, at) {
				t.Errorf("clock %v ahead: the event is given up", ahead)
			}
			if r.First.After(at) || r.Last.After(at) {
				t.Errorf("clock %v ahead: %+v", ahead, r)
			}
		}
	}
	var aside Retry // whose floor is not known
	if aside = kept(t, Retry{Last: now.Add(time.Hour), Next: now.Add(2 * time.Hour)}); !aside.wake(now) || !aside.Floor.IsZero() {
		t.Errorf("a floor that there is not: %v", aside.Floor)
	}
}

// kept is what is read of a value that was kept on disk.
func kept[T any](t *testing.T, v T) (read T) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}
