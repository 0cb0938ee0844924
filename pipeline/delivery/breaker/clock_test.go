package breaker

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
		for start := range 3 {
			s = kept(t, s)
			at := now.Add(time.Duration(start) * 10 * time.Second)
			if wasAhead := FromDisk(&s, at); wasAhead != (ahead > 0 && start == 0) {
				t.Errorf("clock %v ahead, start %d: ahead is %v", ahead, start, wasAhead)
			}
			least := min(ahead, 0)
			if wait := s.NotBefore.Sub(now); wait < time.Minute+least-time.Millisecond || wait > time.Minute+time.Millisecond {
				t.Errorf("clock %v ahead, start %d: the next probe is in %v", ahead, start, wait)
			}
			if s.DownSince.After(at) {
				t.Errorf("clock %v ahead: %+v", ahead, s)
			}
		}
	}
	disabled := journal.SinkState{DisabledSince: now.Add(time.Hour)}
	if got := disabled; FromDisk(&got, now) || got != disabled {
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
