package reply

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Lifetime returns the time from now to expiry, or zero if that is not plausible.
func Lifetime(expiry, now time.Time) time.Duration {
	if left := expiry.Sub(now); !expiry.IsZero() && left >= time.Second && left <= longestLife {
		return left
	}
	return 0
}

// dateOf parses a date in one of the forms that servers use for expires_at: ISO 8601, also with a space instead of the
// T or without a zone; the object that PHP encodes for a DateTime; seconds since 1970. It returns zero for anything
// else.
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

// Epoch parses seconds since 1970, from the year 2001 on. Smaller numbers have another meaning, so it returns zero.
func Epoch(raw json.RawMessage) time.Time {
	seconds, err := strconv.ParseFloat(Text(raw), 64)
	if err != nil || !(seconds >= 1e9 && seconds < 1e11) {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// dateIn parses a date and time without a zone, in the given zone. If the zone is unknown, it returns the earliest time
// that the text can mean, because refreshing a token some hours early is harmless.
func dateIn(text, zone string) time.Time {
	date, err := time.Parse("2006-01-02 15:04:05", strings.Replace(text, "T", " ", 1))
	if err != nil {
		return time.Time{}
	}
	hours, known := map[string]int{ // RFC 5322 section 4.3, and European summer times
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
