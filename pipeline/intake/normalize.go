package intake

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/treat"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Normalizer turns the treats of one account into events.
type Normalizer struct {
	Account  string
	Provider string
	// Location is the time zone of date_created, which names none.
	Location *time.Location
	// KeepRaw puts the provider's whole object into the event's data.raw, in a form that every JSON parser reads.
	KeepRaw bool
}

// normalize returns the event of a live treat without its id, and its fingerprint. If date_created is absent or
// unreadable, the fingerprint has no date, and the event's time is the time of receipt. The data keeps the original
// text.
func (n *Normalizer) normalize(t *treat.Treat, received time.Time) (e pipeline.Event, f fingerprint.Fingerprint) {
	d := t.Data()
	d.Account, d.Provider = n.Account, n.Provider
	if n.KeepRaw && len(t.Raw) > 0 {
		d.Raw = treat.Portable(t.Raw)
	}
	f = fingerprint.Of(&d)
	at := received
	if !f.When.IsZero() {
		at = f.When.In(n.Location)
	}
	return pipeline.Event{
		SpecVersion: pipeline.SpecVersion, Source: "/" + n.Provider + "/" + n.Account, Type: pipeline.EventType,
		Time: at.UTC().Truncate(time.Millisecond), RecordedTime: received.UTC().Truncate(time.Millisecond),
		DataContentType: pipeline.DataContentType, Origin: pipeline.OriginLive, Data: d,
	}, f
}

// TestIDPrefix is the prefix of the ids of test events, in place of that of treats.
const TestIDPrefix = "tst_"

// TestEvent makes an event of the origin test, as if a treat had been received at that time. Its id is unique and in a
// namespace of its own, so it never counts as a treat or a repeat. An empty sender makes it anonymous.
// [journal.Journal.PutTest] journals it.
func (n *Normalizer) TestEvent(at time.Time, sender, title, message string) pipeline.Event {
	date := at.In(n.Location).Format(time.DateTime)
	t := treat.New(sender, title, message, date)
	e, _ := n.normalize(&t, at)
	e.Origin = pipeline.OriginTest
	var key pipeline.Key
	_, _ = rand.Read(key[:]) // it never fails
	e.ID = TestIDPrefix + strings.TrimPrefix(pipeline.NewID(e.Time, key, 0), pipeline.TreatIDPrefix)
	return e
}

// errNotEvent is the error for a line that cannot be imported.
var errNotEvent = errors.New("not an event of relay")

// maxImportOrdinal bounds the exact repeats that are recognized among imported events.
const maxImportOrdinal = 1000

// ImportEntry returns the entry of an exported event, given its line as relay export writes it. The error is one line,
// names the problem, and quotes nothing of the line.
func ImportEntry(line []byte) (journal.Entry, error) {
	var e pipeline.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return journal.Entry{}, fmt.Errorf("%w: it is not JSON of that form", errNotEvent)
	}
	_, timed := pipeline.TimeOfID(e.ID)
	switch {
	case e.SpecVersion != pipeline.SpecVersion || e.Type != pipeline.EventType:
		return journal.Entry{}, fmt.Errorf("%w: specversion has to be %s, and type %s", errNotEvent, pipeline.SpecVersion, pipeline.EventType)
	case !timed:
		return journal.Entry{}, fmt.Errorf("%w: its id is not one that relay gives", errNotEvent)
	case e.Data.Account == "" || e.Data.Provider == "":
		return journal.Entry{}, fmt.Errorf("%w: data.account or data.provider is missing", errNotEvent)
	case e.Time.IsZero() || e.RecordedTime.IsZero():
		return journal.Entry{}, fmt.Errorf("%w: time or recordedtime is missing", errNotEvent)
	}
	if len(e.Data.Raw) > 0 {
		e.Data.Raw = treat.Portable(e.Data.Raw)
	}
	clean, err := e.Line() // in the format of this version, on one line
	if err != nil {
		return journal.Entry{}, fmt.Errorf("%w: %w", errNotEvent, err)
	}
	entry := journal.Entry{
		Kind: journal.Import, ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Data: clean,
	}
	if !journal.Fits(&entry) {
		return journal.Entry{}, fmt.Errorf("%w: its %d bytes are more than what the journal takes", errNotEvent, len(clean))
	}
	key := pipeline.NewKey(&e.Data)
	for ordinal := range uint64(maxImportOrdinal) {
		if pipeline.NewID(e.Time, key, ordinal) == e.ID {
			entry.Repeat = ordinal + 1
			break
		}
	}
	return entry, nil
}
