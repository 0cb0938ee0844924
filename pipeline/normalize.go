package pipeline

import (
	"strings"
	"time"
)

// Normalizer turns the treats of one account into events.
type Normalizer struct {
	Account  string
	Provider string
	// Location is the zone of date_created, which names none.
	Location *time.Location
	// KeepRaw puts the provider's whole object into the event's data.raw.
	KeepRaw bool
}

// normalize returns the event of a live treat but for its id, and whether its time is that of date_created. If date_created is absent
// or cannot be read, the event's time is the time of receipt, and the original text stays in the data.
func (n *Normalizer) normalize(t *treat, received time.Time) (e Event, dated bool) {
	d := t.data()
	d.Account, d.Provider = n.Account, n.Provider
	if n.KeepRaw {
		d.Raw = t.raw
	}
	at := received
	if d.DateCreated != nil {
		var said moment
		if said, dated = parseDate(*d.DateCreated); dated {
			at = said.in(n.Location)
		}
	}
	return Event{
		SpecVersion: SpecVersion, Source: "/" + n.Provider + "/" + n.Account, Type: EventType,
		Time: at.UTC().Truncate(time.Millisecond), RecordedTime: received.UTC().Truncate(time.Millisecond),
		DataContentType: DataContentType, Origin: OriginLive, Data: d,
	}, dated
}

// data is the treat's normalized content.
func (t *treat) data() Data {
	d := Data{
		Sender: t.fields[0], SenderType: t.fields[1], Receiver: t.fields[2], ReceiverType: t.fields[3],
		Title: t.fields[4], Message: t.fields[5], DateCreated: t.fields[6],
	}
	if d.Sender == nil || strings.TrimSpace(*d.Sender) == "" {
		d.Sender, d.Anonymous = nil, true
	}
	return d
}

// A moment is what a date says.
type moment struct {
	at       time.Time
	floating bool // the date names no zone, and at has its digits in UTC
}

// in is the moment's time, given the zone of dates that name none.
func (m moment) in(zone *time.Location) time.Time {
	if !m.floating {
		return m.at
	}
	year, month, day := m.at.Date()
	return time.Date(year, month, day, m.at.Hour(), m.at.Minute(), m.at.Second(), m.at.Nanosecond(), zone)
}

// parseDate reads the forms of date_created: the known one, and what a server of this kind may come to send. Dates
// before 2000 or after 2100 are taken for errors.
func parseDate(text string) (moment, bool) {
	text = strings.TrimSpace(text)
	for _, form := range []struct {
		layout   string
		floating bool
	}{
		{time.DateTime, true},
		{time.RFC3339Nano, false},
		{"2006-01-02 15:04:05Z07:00", false},
		{"2006-01-02 15:04:05 -0700", false},
		{"2006-01-02T15:04:05", true},
	} {
		if t, err := time.Parse(form.layout, text); err == nil {
			return moment{t, form.floating}, t.Year() >= 2000 && t.Year() <= 2100
		}
	}
	return moment{}, false
}
