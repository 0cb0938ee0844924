package reply

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Lifetime gives how long it is from now to expiry, and zero where that is not believable.
func Lifetime(expiry, now time.Time) time.Duration {
	if left := expiry.Sub(now); !expiry.IsZero() && left >= time.Second && left <= longestLife {
		return left
	}
	return 0
}

// dateOf reads a date in one of the shapes that servers give expires_at: ISO 8601, with a space for the T or without a zone
// too; the object that PHP makes of a DateTime; seconds since 1970. It is zero for anything else.
func dateOf(raw json.RawMessage) time.Time {
	var php struct {
		Date string          `json:"date"`
		Type json.RawMessage `json:"timezone_type"` // 1 an offset, 2 an abbreviation, 3 the name of a zone
		Zone string          `json:"timezone"`
	}
	if json.Unmarshal(raw, &php) == nil && php.Date != "" {
		return dateIn(php.Date, php.Zone)
	}
	if date := Epoch(raw); !date.IsZero() {
		return date
	}
	text := Text(raw)
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700",
		"2006-01-02 15:04:05 Z07:00",
	} {
		if date, err := time.Parse(layout, text); err == nil {
			return date
		}
	}
	return dateIn(text, "UTC")
}

// Epoch reads seconds since 1970, from 2001 on: smaller numbers mean something else.
func Epoch(raw json.RawMessage) time.Time {
	seconds, err := strconv.ParseFloat(Text(raw), 64)
	if err != nil || !(seconds >= 1e9 && seconds < 1e11) {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// dateIn reads a date and time without a zone, in the given zone. In a zone that nobody knows it is the earliest moment it can
// stand for: a token that is refreshed some hours early is none the worse for it.
func dateIn(text, zone string) time.Time {
	date, err := time.Parse("2006-01-02 15:04:05", strings.Replace(text, "T", " ", 1))
	if err != nil {
		return time.Time{}
	}
	hours, known := map[string]int{ // RFC 5322 section 4.3, and the summer times of Europe.
		"": 0, "Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
		"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
	}[strings.ToUpper(zone)]
	if known {
		return date.Add(-time.Duration(hours) * time.Hour)
	}
	for _, layout := range []string{"Z07:00", "Z0700", "Z07"} {
		if at, err := time.Parse(layout, zone); err == nil {
			_, offset := at.Zone()
			return date.Add(-time.Duration(offset) * time.Second)
		}
	}
	if where, err := time.LoadLocation(zone); err == nil && zone != "Local" {
		return time.Date(date.Year(), date.Month(), date.Day(), date.Hour(), date.Minute(), date.Second(), date.Nanosecond(), where)
	}
	const furthestEast = 14 * time.Hour
	return date.Add(-furthestEast)
}
