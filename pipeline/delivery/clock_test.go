package delivery

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// What was noted with a clock that was ahead is not waited for until that time has come, however often relay is started; with one that was
// right, or is behind now, no more and no less than was decided.
func TestClockSetBack(t *testing.T) {
	now := time.Now()
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Second, 3 * time.Hour, 24 * 365 * time.Hour, 50 * 24 * 365 * time.Hour} {
		noted := now.Add(ahead)
		s := journal.SinkState{DownSince: noted.Add(-time.Minute), NotBefore: noted.Add(time.Minute), NotedAt: noted}
		r := retry{First: noted.Add(-time.Hour), Last: noted, Next: noted.Add(10 * time.Hour), Floor: noted.Add(time.Hour), Attempts: 6}
		for start := range 3 {
			s, r = kept(t, s), kept(t, r)
			at := now.Add(time.Duration(start) * 10 * time.Second)
			if wasAhead := wakeSink(&s, at); wasAhead != (ahead > 0 && start == 0) {
				t.Errorf("clock %v ahead, start %d: ahead is %v", ahead, start, wasAhead)
			}
			r.wake(at)
			least, most := min(ahead, 0), time.Duration(0)
			if wait := s.NotBefore.Sub(now); wait < time.Minute+least-time.Millisecond || wait > time.Minute+most+time.Millisecond {
				t.Errorf("clock %v ahead, start %d: the next probe is in %v", ahead, start, wait)
			}
			for name, got := range map[string]struct{ have, want time.Duration }{
				"is tried again": {r.Next.Sub(now), 10 * time.Hour}, "may be tried again": {r.Floor.Sub(now), time.Hour},
			} {
				if got.have < got.want+least-time.Millisecond || got.have > got.want+time.Millisecond {
					t.Errorf("clock %v ahead, start %d: the event %s in %v, want %v", ahead, start, name, got.have, got.want)
				}
			}
			if r.over(RetryPolicy{}, at) {
				t.Errorf("clock %v ahead: the event is given up", ahead)
			}
			if s.DownSince.After(at) || r.First.After(at) || r.Last.After(at) {
				t.Errorf("clock %v ahead: %+v, %+v", ahead, s, r)
			}
		}
	}
	var aside retry // whose floor is not known
	if aside = kept(t, retry{Last: now.Add(time.Hour), Next: now.Add(2 * time.Hour)}); !aside.wake(now) || !aside.Floor.IsZero() {
		t.Errorf("a floor that there is not: %v", aside.Floor)
	}
	disabled := journal.SinkState{DisabledSince: now.Add(time.Hour)}
	if got := disabled; wakeSink(&got, now) || got != disabled {
		t.Errorf("a sink that is disabled and not down: %+v", got)
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
