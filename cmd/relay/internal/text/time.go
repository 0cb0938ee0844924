package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Stamp formats a time in UTC and whole seconds, for a status.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Date formats the day of a time; a zero time is a dash.
func Date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateOnly)
}

// Until describes the time from now to t: "expired" if t is in the past, a dash if it is zero.
func Until(now, t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case t.Before(now):
		return "expired"
	}
	return Span(t.Sub(now))
}

// Ago describes how long ago t was; a zero time is a dash.
func Ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Span(now.Sub(t)) + " ago"
}

// Span describes a duration in days, hours, minutes or seconds, rounded down.
func Span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", max(d, 0)/time.Second)
}

// Day describes a day, such as that on which something ends.
func Day(end time.Time) string { return end.Local().Format("2 January 2006") }

// ParseTime parses a point in time: RFC 3339, a date with or without a time of day in the local zone, or how long ago it was. An empty text is the
// zero time.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want a time such as 2026-07-16T21:00:00Z, a date such as 2026-07-16, or how long ago, such as 36h or 7d", text)
}
