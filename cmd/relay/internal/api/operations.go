package api

import (
	"net/http"

	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
)

// An Operation is one request of the API. docs/openapi.json is made from these, and the server has a handler for each.
type Operation struct {
	Method  string
	Path    string // below [Root]; {NAME} is a parameter
	Summary string
	Params  []Param
	Request any // the JSON object of the request; nil: it has none
	Answer  any // that of the answer; nil: 204 without one
	// Lines is true if the answer has such an object a line, and a [LastLine] at its end.
	Lines bool
	// Stream is true if the answer is a stream of Server-Sent Events.
	Stream bool
}

// A Param is a parameter in the query of an operation. Time is RFC 3339.
type Param struct {
	Name, Kind string // string, time, number or flag
	Repeated   bool
	About      string
}

// EventParams choose events of the journal.
func EventParams() []Param {
	return []Param{
		{"account", "string", true, "only events of this account"},
		{"id", "string", true, "only the event of this id"},
		{"origin", "string", true, "only events of this origin: live, backfill, test or replay; without it replays, and tests of one sink, are left out"},
		{"since", "time", false, "only events sent at or after this time"},
		{"until", "time", false, "only events sent before this time"},
		{"after", "number", false, "only events with a greater number"},
		{"last", "number", false, "no event with a greater number"},
		{"limit", "number", false, "no more than so many, oldest first"},
	}
}

// FollowParams say which events a stream has.
func FollowParams() []Param {
	return []Param{
		{"account", "string", true, "only events of this account"},
		{"since", "time", false, "first the events that were journaled at or after this time; the header Last-Event-ID comes before it"},
	}
}

// LetterParams choose dead letters.
func LetterParams() []Param {
	return []Param{
		{"sink", "string", true, "only those of this sink"},
		{"account", "string", true, "only those of events of this account"},
		{"id", "string", true, "only those of the event of this id"},
		{"number", "number", true, "only the dead letter of this number"},
		{"since", "time", false, "only those refused at or after this time"},
		{"until", "time", false, "only those refused before this time"},
		{"reason", "string", false, "only those whose reason contains this text"},
		{"limit", "number", false, "no more than so many, oldest first"},
		{"all", "flag", false, "true: all of them; to redrive or purge wants either this or a parameter that chooses"},
	}
}

// Operations are all that the API has.
func Operations() []Operation {
	const get, post = http.MethodGet, http.MethodPost
	return []Operation{
		{Method: get, Path: "/status", Summary: "How the relay that runs is", Answer: Status{}},
		{Method: get, Path: "/journal", Summary: "An overview of the journal", Answer: Journal{}},
		{Method: get, Path: "/journal/state", Summary: "What is kept beside the journal, for a backup", Answer: StateItem{}, Lines: true},
		{Method: get, Path: "/history", Summary: "Events of the journal, in the order in which they were journaled", Params: EventParams(), Answer: Event{}, Lines: true},
		{Method: get, Path: "/events", Summary: "Events as they are journaled", Params: FollowParams(), Stream: true},
		{Method: get, Path: "/sinks", Summary: "How the sinks are", Answer: []Sink{}},
		{Method: post, Path: "/sinks/{name}/enable", Summary: "Have a disabled sink sent its events again", Answer: SinkChange{}},
		{Method: post, Path: "/sinks/{name}/disable", Summary: "Send nothing more to a sink", Request: DisableOrder{}, Answer: SinkChange{}},
		{Method: get, Path: "/deadletters", Summary: "Dead letters, oldest first", Params: LetterParams(), Answer: journal.DeadLetter{}, Lines: true},
		{Method: get, Path: "/deadletters/{number}", Summary: "One dead letter with its event", Answer: journal.DeadLetter{}},
		{Method: post, Path: "/deadletters/redrive", Summary: "Give the events of dead letters to their sinks again", Params: LetterParams(), Answer: LetterResult{}, Lines: true},
		{Method: post, Path: "/deadletters/purge", Summary: "Delete dead letters", Params: LetterParams(), Answer: LetterResult{}, Lines: true},
		{Method: get, Path: "/traces/{id}", Summary: "The way of one event", Answer: Trace{}},
		{Method: post, Path: "/replay", Summary: "Send a part of a replay", Request: ReplayOrder{}, Answer: ReplayPart{}},
		{Method: post, Path: "/tests", Summary: "Journal a test event", Request: TestOrder{}},
		{Method: post, Path: "/accounts/{account}/reconcile", Summary: "Compare the provider's history with the journal now", Answer: intake.Reconciliation{}},
	}
}
