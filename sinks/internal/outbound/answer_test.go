package outbound

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value, date string // the headers Retry-After and Date
		late        time.Duration
		want        time.Duration
	}{
		{value: ""},
		{value: "0"},
		{value: "1", want: time.Second},
		{value: "1", late: 300 * time.Millisecond, want: time.Second},
		{value: "0.2", want: time.Second}, // never early
		{value: "7.0", want: 7 * time.Second},
		{value: "7.", want: 7 * time.Second},
		{value: ".5"},
		{value: "1.2.3"},
		{value: "86400", want: 24 * time.Hour},
		{value: "86400.5", want: 24 * time.Hour},
		{value: "86401", want: 24 * time.Hour},
		{value: "18446744073709551616", want: 24 * time.Hour},
		{value: "+5"},
		{value: "-5"},
		{value: "1e3"},
		{value: "\u0661"},
		{value: "2026-07-16T21:01:30Z"},

		// The three forms of a date.
		{value: "Thu, 16 Jul 2026 21:01:30 GMT", want: 90 * time.Second},
		{value: "Thursday, 16-Jul-26 21:01:30 GMT", want: 90 * time.Second},
		{value: "Thu Jul 16 21:01:30 2026", want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 21:01:30 GMT", late: 300 * time.Millisecond, want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 20:00:00 GMT"},
		{value: "Thu, 16 Jul 2027 20:00:00 GMT", want: 24 * time.Hour},

		// The receiver's clock is ten minutes behind ours, so that its date seems past; then ten minutes ahead.
		{value: "Thu, 16 Jul 2026 20:51:30 GMT", date: "Thu, 16 Jul 2026 20:50:00 GMT", want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 21:11:30 GMT", date: "Thu, 16 Jul 2026 21:10:00 GMT", want: 690 * time.Second},
		{value: "Thu, 16 Jul 2026 21:01:30 GMT", date: "yesterday", want: 90 * time.Second},
		{value: "Thu, 16 Jul 2026 20:51:30 GMT", date: "Thu, 16 Jul 2026 20:52:00 GMT"},
		{value: "60", date: "Thu, 16 Jul 2026 20:00:00 GMT", want: time.Minute},
	} {
		header := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := RetryAfter(header, now.Add(c.late)); got != c.want {
			t.Errorf("retryAfter(%q, Date %q) = %v, want %v", c.value, c.date, got, c.want)
		}
	}
}
