package pipeline

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Key identifies the content of a treat: the account and the seven canonical fields. Exact repeats share a key; their
// ordinals tell them apart.
type Key [sha256.Size]byte

// NewKey returns the key of a treat's normalized content.
//
// Absent, null and empty fields count as the same, since the provider's socket and its history may differ in that.
func NewKey(d *Data) Key {
	return digest(&d.Account, d.Sender, d.SenderType, d.Receiver, d.ReceiverType, d.Title, d.Message, d.DateCreated)
}

// digest is a hash over a list of texts, of which nil is the empty one.
func digest(parts ...*string) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range parts {
		var text string
		if part != nil {
			text = *part
		}
		var size [8]byte // a length before each part, so that no two lists of parts run together alike
		binary.BigEndian.PutUint64(size[:], uint64(len(text)))
		h.Write(size[:])
		h.Write([]byte(text))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// treatIDPrefix begins the ids of treats.
const treatIDPrefix = "trt_"

// NewID returns the id of an event: "trt_" and 26 characters that sort by at, to the millisecond. It is a function of
// the key, the ordinal and at alone, so every instance gives the same treat the same id.
func NewID(at time.Time, key Key, ordinal uint64) string {
	var seed [len(key) + 8]byte
	copy(seed[:], key[:])
	binary.BigEndian.PutUint64(seed[len(key):], ordinal)
	sum := sha256.Sum256(seed[:])

	var id [16]byte // 48 bits of time, 80 bits of hash
	ms := max(at.UnixMilli(), 0)
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16)
	copy(id[6:], sum[:10])
	return treatIDPrefix + encodeID(id)
}

// idAlphabet is Crockford's, which sorts as the bytes do.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// encodeID is base32 (RFC 4648, section 6) in that alphabet and without padding.
func encodeID(id [16]byte) string {
	var code [26]byte
	for i := range code {
		at := i * 5 // the bits of this character begin there
		bits := uint16(id[at/8]) << 8
		if at/8+1 < len(id) {
			bits |= uint16(id[at/8+1])
		}
		code[i] = idAlphabet[bits>>(11-at%8)&31]
	}
	return string(code[:])
}

// timeOfID is the time in an id of the form that [NewID] makes, whatever stands before its underscore.
func timeOfID(id string) (at time.Time, ok bool) {
	_, code, _ := strings.Cut(id, "_")
	bits, err := base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding).DecodeString(code)
	if err != nil || len(bits) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(bits) >> 16)), true
}

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
