package stacktest

import (
	"fmt"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Event returns an event whose title is its number.
func Event(account string, origin pipeline.Origin, at time.Time, n int) pipeline.Event {
	title, sender := title(n), "s"
	e := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, Source: "/treatstream/" + account, Type: pipeline.EventType, Origin: origin,
		Time: at.UTC().Truncate(time.Millisecond), RecordedTime: time.Now().UTC().Truncate(time.Millisecond), DataContentType: pipeline.DataContentType,
		Data: pipeline.Data{Account: account, Provider: "treatstream", Title: &title, Sender: &sender},
	}
	e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), uint64(n)) //nolint:gosec // tests count from 0
	return e
}

// Entry returns the entry of an event.
func Entry(t testing.TB, e *pipeline.Event) journal.Entry {
	t.Helper()
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	return journal.Entry{Kind: journal.Treat, ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Repeat: 1, Data: line}
}

// Titles returns the titles of the events from..to-1.
func Titles(from, to int) (titles []string) {
	for n := from; n < to; n++ {
		titles = append(titles, title(n))
	}
	return titles
}

func title(n int) string { return fmt.Sprintf("t%06d", n) }
