package fingerprint

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDate reads the forms of date_created: the known one, and what a server of this kind may come to send. These are ISO 8601 with a T or a
// space, with or without seconds; the date of a mail (RFC 5322); each without a zone, or with an offset, an abbreviation or a name of one; and the
// seconds or milliseconds since 1970. Dates before 2000 or after 2100 are taken for errors.
func parseDate(text string) (Moment, bool) {
	text = strings.TrimSpace(text)
	if len(text) == len(time.DateTime) { // as it mostly is
		if t, err := time.Parse(time.DateTime, text); err == nil {
			return momentOf(t, true)
		}
	}
	if len(text) > 0 && strings.Trim(text, "0123456789.eE+") == "" {
		return parseEpoch(text)
	}
	date, zone := splitZone(text)
	for _, layout := range [...]string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2 Jan 2006 15:04:05", "2 Jan 2006 15:04"} {
		t, err := time.Parse(layout, date)
		if err != nil {
			continue
		}
		if zone == "" {
			return momentOf(t, true)
		}
		t, known := inZone(t, zone)
		if !known {
			return Moment{}, false
		}
		return momentOf(t, false)
	}
	return Moment{}, false
}

func momentOf(t time.Time, floating bool) (Moment, bool) {
	if t.Year() < 2000 || t.Year() > 2100 {
		return Moment{}, false
	}
	return Moment{t.Unix(), floating, int32(t.Nanosecond())}, true //nolint:gosec // below a billion
}

// parseEpoch reads a number of seconds since 1970, or of milliseconds or microseconds: the years that count tell which.
func parseEpoch(text string) (Moment, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		for _, unit := range [...]int64{1, 1e3, 1e6} {
			if m, ok := momentOf(time.Unix(n/unit, n%unit*(1e9/unit)).UTC(), false); ok {
				return m, true
			}
		}
		return Moment{}, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n > 1e17 {
		return Moment{}, false
	}
	for _, unit := range [...]float64{1, 1e3, 1e6} {
		if whole, part := math.Modf(n / unit); whole < math.MaxUint32 {
			const micros = 1e6 // which is about as exact as such a number is
			return momentOf(time.Unix(int64(whole), int64(math.Round(part*micros))*1e3).UTC(), false)
		}
	}
	return Moment{}, false
}

// splitZone splits a date from its zone. The date is in the form of [time.DateTime] if it begins with its year, else it has no day of the week.
func splitZone(text string) (date, zone string) {
	if len(text) > 15 && text[4] == '-' && text[7] == '-' && (text[10] == 'T' || text[10] == 't' || text[10] == ' ') {
		text = text[:10] + " " + text[11:]
	} else if day, rest, found := strings.Cut(text, ","); found && strings.Trim(day, "0123456789") == day {
		text = strings.TrimSpace(rest)
	}
	end := strings.LastIndexByte(text, ':')
	if end < 0 {
		return text, ""
	}
	if first := strings.IndexByte(text, ':'); first > 0 {
		end = first
	}
	for end < len(text) && strings.IndexByte(":.,0123456789", text[end]) >= 0 {
		end++
	}
	return text[:end], strings.TrimSpace(text[end:])
}

// inZone reads a time of day in a zone, which is an offset, an abbreviation or a name like Europe/Berlin.
func inZone(t time.Time, zone string) (time.Time, bool) {
	for _, layout := range [...]string{"Z07:00", "Z0700", "Z07"} {
		if at, err := time.Parse(layout, zone); err == nil {
			_, offset := at.Zone()
			return t.Add(-time.Duration(offset) * time.Second), true
		}
	}
	if hours, known := hoursOf(zone); known {
		return t.Add(-time.Duration(hours) * time.Hour), true
	}
	if strings.IndexByte(zone, '/') < 0 {
		return t, false
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		return t, false
	}
	year, month, day := t.Date()
	return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), where), true
}

// hoursOf is how far a zone is ahead of UTC: those of RFC 5322 section 4.3, and of Europe.
func hoursOf(abbreviation string) (hours int, known bool) {
	switch strings.Trim(strings.ToUpper(abbreviation), "()") {
	case "Z", "UT", "UTC", "GMT", "WET":
		return 0, true
	case "WEST", "BST", "CET":
		return 1, true
	case "CEST", "EET":
		return 2, true
	case "EEST", "MSK":
		return 3, true
	case "EDT":
		return -4, true
	case "EST", "CDT":
		return -5, true
	case "CST", "MDT":
		return -6, true
	case "MST", "PDT":
		return -7, true
	case "PST":
		return -8, true
	}
	return 0, false
}
