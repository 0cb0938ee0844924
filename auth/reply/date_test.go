package reply

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDateOf(t *testing.T) {
	want := time.Date(2019, 7, 3, 19, 32, 9, 0, time.UTC)
	for raw, off := range map[string]time.Duration{
		`{"date":"2019-07-03 19:32:09.000000","timezone_type":3,"timezone":"UTC"}`:           0,
		`{"date":"2019-07-03 19:32:09","timezone_type":3,"timezone":"UTC"}`:                  0,
		`{"date":"2019-07-03T19:32:09.000000","timezone_type":3,"timezone":"Z"}`:             0,
		`{"date":"2019-07-03 21:32:09.000000","timezone_type":3,"timezone":"Europe/Berlin"}`: 0,
		`{"date":"2019-07-03 21:32:09.000000","timezone_type":1,"timezone":"+02:00"}`:        0,
		`{"date":"2019-07-03 14:02:09.000000","timezone_type":1,"timezone":"-05:30"}`:        0,
		`{"date":"2019-07-03 21:32:09.000000","timezone_type":1,"timezone":"+0200"}`:         0,
		`{"date":"2019-07-03 15:32:09.000000","timezone_type":2,"timezone":"EDT"}`:           0,
		`{"date":"2019-07-03 21:32:09.000000","timezone_type":2,"timezone":"CEST"}`:          0,
		`{"date":"2019-07-03 19:32:09.000000"}`:                                              0,
		`{"date":"2019-07-03 19:32:09.000000","timezone_type":"x","timezone":""}`:            0,
		// In a zone that nobody knows, the earliest it can be.
		`{"date":"2019-07-03 19:32:09.000000","timezone_type":2,"timezone":"XYZ"}`:             -14 * time.Hour,
		`{"date":"2019-07-03 19:32:09.000000","timezone_type":3,"timezone":"Local"}`:           -14 * time.Hour,
		`{"date":"2019-07-03 19:32:09.000000","timezone_type":3,"timezone":"../../etc/hosts"}`: -14 * time.Hour,
		`"2019-07-03T19:32:09Z"`:        0,
		`"2019-07-03T19:32:09.000000Z"`: 0,
		`"2019-07-03T21:32:09+02:00"`:   0,
		`"2019-07-03T21:32:09+0200"`:    0,
		`"2019-07-03T21:32:09+02"`:      0,
		`"2019-07-03 21:32:09+02:00"`:   0,
		`"2019-07-03 21:32:09 +02:00"`:  0,
		`"2019-07-03T19:32:09"`:         0,
		`"2019-07-03 19:32:09"`:         0,
		`" 2019-07-03 19:32:09.5 "`:     time.Second / 2,
		`1562182329`:                    0,
		`"1562182329"`:                  0,
		`1562182329.9`:                  0,
	} {
		if got := dateOf(json.RawMessage(raw)); !got.Equal(want.Add(off)) {
			t.Errorf("%s is %s, want %s", raw, got.UTC(), want.Add(off))
		}
	}
	for _, raw := range []string{
		``, `null`, `""`, `"soon"`, `[]`, `{}`, `{"date":""}`, `{"date":"soon","timezone":"UTC"}`, `3600`, `-1`, `1e300`, `1562182329000`,
		`"2019-07-03"`, `"2019-13-03 19:32:09"`, `true`,
	} {
		if got := dateOf(json.RawMessage(raw)); !got.IsZero() {
			t.Errorf("%s is %s, want nothing", raw, got)
		}
	}
}

func TestLifetimeUntil(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for date, want := range map[time.Time]time.Duration{
		{}: 0, now: 0, now.Add(-time.Hour): 0, now.Add(time.Hour): time.Hour, now.AddDate(1, 0, 0): 365 * 24 * time.Hour, now.AddDate(100, 0, 0): 0,
		now.AddDate(5000, 0, 0): 0,
	} {
		if got := Lifetime(date, now); got != want {
			t.Errorf("until %s: %s, want %s", date, got, want)
		}
	}
}

func FuzzDateOf(f *testing.F) {
	f.Add([]byte(`{"date":"2019-07-03 19:32:09.000000","timezone_type":3,"timezone":"UTC"}`))
	f.Add([]byte(`"2019-07-03T19:32:09.000000Z"`))
	f.Add([]byte(`1562182329`))
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if left := Lifetime(dateOf(raw), now); left < 0 || left > longestLife {
			t.Errorf("%s from now", left)
		}
	})
}
