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
	h := sha256.New()
	for _, part := range []*string{
		&d.Account, d.Sender, d.SenderType, d.Receiver, d.ReceiverType, d.Title, d.Message, d.DateCreated,
	} {
		var text string
		if part != nil {
			text = *part
		}
		var size [8]byte // a length before each part, so that no two lists of parts run together alike
		binary.BigEndian.PutUint64(size[:], uint64(len(text)))
		h.Write(size[:])
		h.Write([]byte(text))
	}
	return Key(h.Sum(nil))
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
	return treatIDPrefix + idEncoding().EncodeToString(id[:])
}

// idEncoding is Crockford's alphabet, which sorts as the bytes do.
func idEncoding() *base32.Encoding {
	return base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)
}

// timeOfID is the time in an id of the form that [NewID] makes, whatever stands before its underscore.
func timeOfID(id string) (at time.Time, ok bool) {
	_, code, _ := strings.Cut(id, "_")
	bits, err := idEncoding().DecodeString(code)
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
	d := Data{
		Account: n.Account, Provider: n.Provider,
		Sender: t.fields[0], SenderType: t.fields[1], Receiver: t.fields[2], ReceiverType: t.fields[3],
		Title: t.fields[4], Message: t.fields[5], DateCreated: t.fields[6],
	}
	if d.Sender == nil || strings.TrimSpace(*d.Sender) == "" {
		d.Sender, d.Anonymous = nil, true
	}
	if n.KeepRaw {
		d.Raw = t.raw
	}
	at := received
	if d.DateCreated != nil {
		var parsed time.Time
		if parsed, dated = parseDate(*d.DateCreated, n.Location); dated {
			at = parsed
		}
	}
	return Event{
		SpecVersion: SpecVersion, Source: "/" + n.Provider + "/" + n.Account, Type: EventType,
		Time: at.UTC().Truncate(time.Millisecond), RecordedTime: received.UTC().Truncate(time.Millisecond),
		DataContentType: DataContentType, Origin: OriginLive, Data: d,
	}, dated
}

// parseDate reads the forms of date_created: the known one, and what a server of this kind may come to send. Dates
// before 2000 or after 2100 are taken for errors.
func parseDate(text string, zone *time.Location) (time.Time, bool) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{
		time.DateTime, time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", "2006-01-02T15:04:05",
	} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, t.Year() >= 2000 && t.Year() <= 2100
		}
	}
	return time.Time{}, false
}
