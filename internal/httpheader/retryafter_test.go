package httpheader

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value, date string        // the fields Retry-After and Date
		late        time.Duration // when the response arrives
		limit       time.Duration // a day if zero
		want        time.Duration
	}{
		{value: ""},
		{value: "0"},
		{value: "1", want: time.Second},
		{value: " 30 ", want: 30 * time.Second},
		{value: "1", late: 300 * time.Millisecond, want: time.Second},
		{value: "0.2", want: time.Second},
		{value: "1.5", want: 2 * time.Second},
		{value: "7.0", want: 7 * time.Second},
		{value: "7.", want: 7 * time.Second},
		{value: "120.0", want: 2 * time.Minute},
		{value: ".5"},
		{value: "1.2.3"},
		{value: "86400", want: day},
		{value: "86400.5", want: day},
		{value: "86401", want: day},
		{value: "86400", limit: time.Hour, want: time.Hour},
		{value: "18446744073709551616", want: day},
		{value: "99999999999999999999999", want: day},
		{value: "1e3", want: 1000 * time.Second},
		{value: "1e99", limit: time.Hour, want: time.Hour},
		{value: "1e999", want: day},
		{value: "1e-999"},
		{value: "+5"},
		{value: "-5"},
		{value: "-3"},
		{value: "0x10"},
		{value: "1_000"},
		{value: "Inf"},
		{value: "NaN"},
		{value: "soon"},
		{value: "\u0661"},
		{value: "2026-07-16T21:01:30Z"},

		// The three forms of a date.
		{value: "Thu, 16 Jul 2026 21:01:30 GMT", want: 90 * time.Second},
		{value: "Thursday, 16-Jul-26 21:01:30 GMT", want: 90 * time.Second},
		{value: "Thu Jul 16 21:01:30 2026", want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 21:01:30 GMT", late: 300 * time.Millisecond, want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 20:00:00 GMT"},
		{value: "Thu, 16 Jul 2027 20:00:00 GMT", want: day},
		{value: "Thu, 16 Jul 2036 20:01:00 GMT", want: day},
		{value: "Thu, 16 Jul 9999 20:01:00 GMT", limit: math.MaxInt64, want: math.MaxInt64},
		{value: "Fri, 17 Jul 2026 21:00:00 GMT", limit: time.Hour, want: time.Hour},

		// The server's clock is ten minutes behind ours, so that its date seems past; then ten minutes ahead.
		{value: "Thu, 16 Jul 2026 20:51:30 GMT", date: "Thu, 16 Jul 2026 20:50:00 GMT", want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 21:11:30 GMT", date: "Thu, 16 Jul 2026 21:10:00 GMT", want: 690 * time.Second},
		{value: "Thu, 16 Jul 2026 21:01:30 GMT", date: "yesterday", want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 20:51:30 GMT", date: "Thu, 16 Jul 2026 20:52:00 GMT"},
		{value: "60", date: "Thu, 16 Jul 2026 20:00:00 GMT", want: time.Minute},
	} {
		limit := c.limit
		if limit == 0 {
			limit = day
		}
		header := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := RetryAfter(header, now.Add(c.late), limit); got != c.want {
			t.Errorf("RetryAfter(%q, Date %q) = %v, want %v", c.value, c.date, got, c.want)
		}
	}
	if got := RetryAfter(nil, now, day); got != 0 {
		t.Errorf("RetryAfter without a header = %v", got)
	}
}

func TestSeconds(t *testing.T) {
	for seconds, want := range map[float64]time.Duration{
		-1: 0, 0: 0, 0.25: 250 * time.Millisecond, 1.5: 1500 * time.Millisecond, 1e-12: 1, 86399: day - time.Second, 86400: day, 1e300: day,
		math.Inf(1): day, math.Inf(-1): 0,
	} {
		if got := Seconds(seconds, day); got != want {
			t.Errorf("Seconds(%v) = %v, want %v", seconds, got, want)
		}
	}
	if got := Seconds(math.NaN(), day); got != 0 {
		t.Errorf("Seconds(NaN) = %v", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for _, value := range []string{"120", "0.5", "-1", "1e3", "Thu, 16 Jul 2026 21:01:30 GMT", "Thursday, 16-Jul-26 21:01:30 GMT", "Thu Jul 16 21:01:30 2026"} {
		f.Add(value, "Thu, 16 Jul 2026 21:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		after := RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now, day)
		if after < 0 || after > day || after%time.Second != 0 {
			t.Errorf("%q at %q waits %v", value, date, after)
		}
		at, err := http.ParseTime(strings.TrimSpace(value))
		if err != nil {
			return
		}
		if at.Before(now.Add(day)) && now.Add(after).Before(at) {
			t.Errorf("%q at %q waits %v, which is early", value, date, after)
		}
	})
}
