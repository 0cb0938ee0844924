package api

import (
	"net/http"

	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
)

// An Operation is a kind of request. docs/openapi.json is generated from the operations, and the server has a handler for each.
type Operation struct {
	Method  string
	Path    string // below [Root]; {NAME} is a parameter
	Summary string
	Params  []Param
	Request any // the type of the request's JSON object; nil: no body
	Answer  any // the type of the answer's JSON object; nil: 204, no body
	// Lines is true if the answer has one such object per line, and a [LastLine] at the end.
	Lines bool
	// Stream is true if the answer is a stream of Server-Sent Events.
	Stream bool
	// File is true if the answer is the content of a file.
	File bool
	// Role is who may send it over http.listen, at least. Whoever may open the Unix socket may send everything.
	Role Role
}

// A Role is what somebody may do over http.listen.
type Role uint8

// The roles. Each may do what the next one may, too. Only the owner may send what is not known to be harmless.
const (
	Owner     Role = iota
	Moderator      // sees what happens, and controls the overlays
	Reader         // a program with the key of an overlay
)

// String returns the name of the role.
func (r Role) String() string { return [...]string{"owner", "moderator", "reader"}[r] }

// A Param is a query parameter of an operation. A time is in RFC 3339.
type Param struct {
	Name, Kind string // string, time, number or flag
	Repeated   bool
	About      string
}

// EventParams are the parameters that select events of the journal.
func EventParams() []Param {
	return []Param{
		{"account", "string", true, "only events of this account"},
		{"id", "string", true, "only the event with this ID"},
		{"origin", "string", true, "only events of this origin: live, backfill, test or replay; without it, replays and tests of one sink are left out"},
		{"type", "string", true, "only events of this type, such as treatrelay.treat.v1"},
		{"text", "string", false, "only treats whose sender, title or message contains this text, in upper or lower case"},
		{"since", "time", false, "only events sent at or after this time"},
		{"until", "time", false, "only events sent before this time"},
		{"after", "number", false, "only events with a higher number"},
		{"last", "number", false, "no event with a higher number"},
		{"limit", "number", false, "at most this many, oldest first"},
		{"newest", "number", false, "only the newest of this number, in journal order; to page back, set last to the number before the first one"},
	}
}

// FollowParams are the parameters that select the events of a stream.
func FollowParams() []Param {
	return []Param{
		{"account", "string", true, "only events of this account"},
		{"type", "string", true, "only events of this type, such as treatrelay.treat.v1"},
		{"origin", "string", true, "only events of this origin: live, backfill or test"},
		{"since", "time", false, "begin with the events journaled at or after this time; the header Last-Event-ID has precedence"},
	}
}

// LetterParams are the parameters that select dead letters.
func LetterParams() []Param {
	return []Param{
		{"sink", "string", true, "only dead letters of this sink"},
		{"account", "string", true, "only dead letters of this account"},
		{"id", "string", true, "only dead letters of the event with this ID"},
		{"number", "number", true, "only the dead letter with this number"},
		{"since", "time", false, "only events refused at or after this time"},
		{"until", "time", false, "only events refused before this time"},
		{"reason", "string", false, "only dead letters whose reason contains this text"},
		{"limit", "number", false, "at most this many, oldest first"},
		{"all", "flag", false, "true: all of them; redrive and purge require either this or a filter"},
	}
}

// Operations returns all operations of the API.
func Operations() []Operation {
	const get, post = http.MethodGet, http.MethodPost
	all := []Operation{
		{Method: get, Path: "/status", Summary: "Status of the running relay", Answer: Status{}, Role: Moderator},
		{Method: get, Path: "/series", Summary: "The last hour of the running relay, in steps of 10 seconds", Answer: Series{}, Role: Moderator},
		{Method: get, Path: "/journal", Summary: "Summary of the journal", Answer: Journal{}, Role: Moderator},
		{Method: get, Path: "/journal/state", Summary: "The journal's state, for a backup", Answer: StateItem{}, Lines: true},
		{Method: get, Path: "/history", Summary: "Events of the journal, in journal order", Params: EventParams(), Answer: Event{}, Lines: true, Role: Moderator},
		{Method: get, Path: "/events", Summary: "Events as they are journaled", Params: FollowParams(), Stream: true, Role: Reader},
		{Method: get, Path: "/config", Summary: "The configuration, and what is wrong with it", Answer: Configuration{}},
		{Method: get, Path: "/sinks", Summary: "The sinks and their states", Answer: []Sink{}, Role: Moderator},
		{Method: post, Path: "/sinks/{name}/enable", Summary: "Enable a disabled sink", Answer: SinkChange{}},
		{Method: post, Path: "/sinks/{name}/disable", Summary: "Disable a sink", Request: DisableRequest{}, Answer: SinkChange{}},
		{Method: get, Path: "/deadletters", Summary: "Dead letters, oldest first", Params: LetterParams(), Answer: journal.DeadLetter{}, Lines: true, Role: Moderator},
		{Method: get, Path: "/deadletters/{number}", Summary: "One dead letter with its event", Answer: journal.DeadLetter{}, Role: Moderator},
		{Method: post, Path: "/deadletters/redrive", Summary: "Queue the events of dead letters for their sinks again", Params: LetterParams(), Answer: LetterResult{}, Lines: true},
		{Method: post, Path: "/deadletters/purge", Summary: "Delete dead letters", Params: LetterParams(), Answer: LetterResult{}, Lines: true},
		{Method: get, Path: "/attempts", Summary: "Attempts to deliver, oldest first", Params: AttemptParams(), Answer: DeliveryAttempt{}, Lines: true, Role: Moderator},
		{Method: get, Path: "/traces/{id}", Summary: "What happened to one event", Answer: Trace{}, Role: Moderator},
		{Method: post, Path: "/replay", Summary: "Send one part of a replay", Request: ReplayRequest{}, Answer: ReplayPart{}},
		{Method: post, Path: "/tests", Summary: "Journal a test event", Request: TestRequest{}},
		{Method: post, Path: "/accounts/{account}/reconcile", Summary: "Compare the provider's history with the journal now", Answer: intake.Reconciliation{}},
	}
	all = append(all, Operation{
		Method: post, Path: "/sessions/links", Summary: "A link that logs in to the dashboard once", Request: LinkRequest{}, Answer: Link{},
	})
	all = append(all, digestOperations()...)
	all = append(all, setupOperations()...)
	all = append(all, loginOperations()...)
	return append(all, overlayOperations()...)
}
