package fingerprint

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseDate reads date_created, in the known form and in others that such a server may send. These are ISO 8601 with a
// T or a space, with or without seconds; RFC 5322 and its variants with the month first, the year last, or AM and PM;
// each without a zone or with an offset, an abbreviation or a zone name; and seconds, milliseconds or microseconds
// since 1970. It rejects dates before 2000 and after 2100.
func parseDate(text string) (Date, bool) {
	text = strings.TrimSpace(text)
	if len(text) == len(time.DateTime) { // as it mostly is
		if t, err := time.Parse(time.DateTime, text); err == nil {
			return dateOf(t, true)
		}
	}
	if len(text) > 0 && strings.Trim(text, "0123456789.eE+") == "" {
		return parseEpoch(text)
	}
	day, clock, zone := splitDate(text)
	for _, days := range [...]string{time.DateOnly, "2 Jan 2006", "Jan 2 2006", "2 Jan 06"} {
		for _, clocks := range [...]string{" 15:04:05", " 15:04", " 3:04:05 PM", " 3:04 PM"} {
			t, err := time.Parse(days+clocks, day+" "+clock)
			if err != nil {
				continue
			}
			if zone == "" {
				return dateOf(t, true)
			}
			t, known := inZone(t, zone)
			if !known {
				return Date{}, false
			}
			return dateOf(t, false)
		}
	}
	return Date{}, false
}

func dateOf(t time.Time, floating bool) (Date, bool) {
	if t.Year() < 2000 || t.Year() > 2100 {
		return Date{}, false
	}
	return Date{t.Unix(), floating, int32(t.Nanosecond())}, true //nolint:gosec // below a billion
}

// parseEpoch reads seconds, milliseconds or microseconds since 1970. The range of valid years tells which.
func parseEpoch(text string) (Date, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		for _, unit := range [...]int64{1, 1e3, 1e6} {
			if m, ok := dateOf(time.Unix(n/unit, n%unit*(1e9/unit)).UTC(), false); ok {
				return m, true
			}
		}
		return Date{}, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n > 1e17 {
		return Date{}, false
	}
	for _, unit := range [...]float64{1, 1e3, 1e6} {
		if whole, part := math.Modf(n / unit); whole < math.MaxUint32 {
			const micros = 1e6 // about the precision of such a number
			return dateOf(time.Unix(int64(whole), int64(math.Round(part*micros))*1e3).UTC(), false)
		}
	}
	return Date{}, false
}

// splitDate splits a date into its day, time of day and zone. The day has the form of [time.DateOnly] if it starts with
// the year. Otherwise it is a list of words without the day of the week, and the month has three letters.
func splitDate(text string) (day, clock, zone string) {
	if len(text) > 15 && text[4] == text[7] && (text[4] == '-' || text[4] == '/') && (text[10] == 'T' || text[10] == 't' || text[10] == ' ') {
		clock, zone = splitClock(strings.TrimSpace(text[11:]))
		clock, zone = moveAMPM(clock, zone)
		return strings.ReplaceAll(text[:10], "/", "-"), clock, zone
	}
	words := strings.Fields(strings.ReplaceAll(text, ",", " "))
	at := slices.IndexFunc(words, func(word string) bool { return strings.IndexByte(word, ':') > 0 })
	if at < 1 {
		return text, "", ""
	}
	days, rest := words[:at], words[at+1:]
	if clock, zone = splitClock(words[at]); zone != "" {
		rest = append([]string{zone}, rest...)
	}
	if len(days) > 1 && letters(days[0]) && len(days[0]) >= 3 && strings.Contains("SunMonTueWedThuFriSat", days[0][:3]) {
		days = days[1:]
	}
	if n := len(rest) - 1; n >= 0 && len(days) == 2 && len(rest[n]) == 4 && strings.Trim(rest[n], "0123456789") == "" {
		days, rest = append(slices.Clone(days), rest[n]), rest[:n] // the year is last
	}
	days = strings.Fields(strings.ReplaceAll(strings.Join(days, " "), "-", " "))
	for i, word := range days {
		if letters(word) {
			days[i] = word[:min(len(word), 3)]
		}
	}
	clock, zone = moveAMPM(clock, strings.Join(rest, " "))
	return strings.Join(days, " "), clock, zone
}

func letters(word string) bool {
	return strings.Trim(strings.ToLower(word), "abcdefghijklmnopqrstuvwxyz") == ""
}

// splitClock splits a text after its leading time of day.
func splitClock(text string) (clock, rest string) {
	end := 0
	for end < len(text) && strings.IndexByte(":.,0123456789", text[end]) >= 0 {
		end++
	}
	return text[:end], strings.TrimSpace(text[end:])
}

// moveAMPM moves AM or PM from the zone to the time of day.
func moveAMPM(clock, zone string) (string, string) {
	word, rest, _ := strings.Cut(zone, " ")
	if word = strings.ToUpper(word); word == "AM" || word == "PM" {
		return clock + " " + word, rest
	}
	return clock, zone
}

// inZone interprets t in a zone: an offset, an abbreviation or a name like Europe/Berlin.
func inZone(t time.Time, zone string) (time.Time, bool) {
	if end := strings.IndexAny(zone, "[("); end > 0 { // the zone in another form
		zone = strings.TrimSpace(zone[:end])
	}
	if offset, isOffset := offsetOf(zone); isOffset {
		return t.Add(-offset), true
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

// offsetOf reads an offset such as Z, +01, +0100, GMT+1, or +0100 CET.
func offsetOf(zone string) (time.Duration, bool) {
	for _, prefix := range [...]string{"GMT", "UTC"} {
		if rest, cut := strings.CutPrefix(zone, prefix); cut && strings.ContainsAny(rest[:min(len(rest), 1)], "+-") {
			zone = rest
		}
	}
	if strings.ContainsAny(zone[:min(len(zone), 1)], "+-") {
		zone, _, _ = strings.Cut(zone, " ")
		if len(zone) == 2 {
			zone = zone[:1] + "0" + zone[1:]
		}
	}
	for _, layout := range [...]string{"Z07:00", "Z0700", "Z07"} {
		if at, err := time.Parse(layout, zone); err == nil {
			_, offset := at.Zone()
			return time.Duration(offset) * time.Second, true
		}
	}
	return 0, false
}

// hoursOf returns the offset of a zone from UTC. It knows the abbreviations of RFC 5322 section 4.3 and those of
// Europe.
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
