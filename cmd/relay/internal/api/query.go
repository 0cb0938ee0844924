package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// EventQuery selects events of the journal. Fields that are empty or zero are ignored.
type EventQuery struct {
	query.EventFilter
	Limit int // at most this many, oldest first; 0: all
}

// Values returns the query as URL parameters.
func (q *EventQuery) Values() url.Values {
	v := url.Values{}
	addAll(v, "account", q.Accounts)
	addAll(v, "id", q.IDs)
	for _, o := range q.Origins {
		v.Add("origin", string(o))
	}
	addTime(v, "since", q.Since)
	addTime(v, "until", q.Until)
	addNumber(v, "after", q.After)
	addNumber(v, "last", q.Last)
	addNumber(v, "limit", uint64(max(q.Limit, 0)))
	return v
}

// ParseEventQuery parses the parameters of [EventQuery.Values].
func ParseEventQuery(v url.Values) (q EventQuery, err error) {
	p := parser{values: v}
	q.Accounts, q.IDs = v["account"], v["id"]
	for _, o := range v["origin"] {
		q.Origins = append(q.Origins, pipeline.Origin(o))
	}
	q.Since, q.Until = p.time("since"), p.time("until")
	q.After, q.Last, q.Limit = p.number("after"), p.number("last"), p.count("limit")
	return q, p.finish(EventParams())
}

// FollowQuery selects the events of a stream.
type FollowQuery struct {
	query.FollowConfig
	// Resume is true if the stream continues after the number After, which may be 0. Otherwise it begins at Since or, if that is zero,
	// with the next event.
	Resume bool
}

// Values returns the query as URL parameters, without After, which goes into the header Last-Event-ID.
func (q *FollowQuery) Values() url.Values {
	v := url.Values{}
	addAll(v, "account", q.Accounts)
	addTime(v, "since", q.Since)
	return v
}

// ParseFollowQuery parses the parameters of [FollowQuery.Values] and the header Last-Event-ID, which may be empty.
func ParseFollowQuery(v url.Values, lastEventID string) (q FollowQuery, err error) {
	p := parser{values: v}
	q.Accounts, q.Since = v["account"], p.time("since")
	if lastEventID != "" {
		q.Resume = true
		if q.After, err = strconv.ParseUint(lastEventID, 10, 64); err != nil {
			return q, fmt.Errorf("Last-Event-ID %q: want the number of an event", lastEventID)
		}
	}
	return q, p.finish(FollowParams())
}

// LetterQuery selects dead letters. Fields that are empty or zero are ignored.
type LetterQuery struct {
	journal.DeadLetterFilter
	Limit int  // at most this many, oldest first; 0: all
	All   bool // required to redrive or purge without a filter
}

// HasFilter reports whether a filter is set. A limit is not a filter.
func (q *LetterQuery) HasFilter() bool {
	return len(q.Sinks)+len(q.Accounts)+len(q.IDs)+len(q.Numbers) > 0 || !q.Since.IsZero() || !q.Until.IsZero() || q.Reason != ""
}

// Values returns the query as URL parameters.
func (q *LetterQuery) Values() url.Values {
	v := url.Values{}
	addAll(v, "sink", q.Sinks)
	addAll(v, "account", q.Accounts)
	addAll(v, "id", q.IDs)
	for _, n := range q.Numbers {
		v.Add("number", strconv.FormatUint(n, 10))
	}
	addTime(v, "since", q.Since)
	addTime(v, "until", q.Until)
	if q.Reason != "" {
		v.Set("reason", q.Reason)
	}
	addNumber(v, "limit", uint64(max(q.Limit, 0)))
	if q.All {
		v.Set("all", "true")
	}
	return v
}

// ParseLetterQuery parses the parameters of [LetterQuery.Values].
func ParseLetterQuery(v url.Values) (q LetterQuery, err error) {
	p := parser{values: v}
	q.Sinks, q.Accounts, q.IDs, q.Reason = v["sink"], v["account"], v["id"], v.Get("reason")
	for _, text := range v["number"] {
		q.Numbers = append(q.Numbers, p.parse("number", text))
	}
	q.Since, q.Until, q.Limit = p.time("since"), p.time("until"), p.count("limit")
	q.All = v.Get("all") == "true"
	return q, p.finish(LetterParams())
}

// ReplayRequest requests one part of a replay.
type ReplayRequest struct {
	Sink string `json:"sink"`
	Run  string `json:"run" jsonschema_description:"name of the replay; an event is sent once per run"`
	EventSelection
}

// EventSelection is a [query.EventFilter] as JSON.
type EventSelection struct {
	Accounts []string          `json:"accounts,omitempty"`
	IDs      []string          `json:"ids,omitempty"`
	Origins  []pipeline.Origin `json:"origins,omitempty"`
	Since    time.Time         `json:"since,omitzero"`
	Until    time.Time         `json:"until,omitzero"`
	After    uint64            `json:"after,omitempty" jsonschema_description:"only events with a higher number"`
	Last     uint64            `json:"last,omitempty" jsonschema_description:"no event with a higher number"`
}

// Filter returns the selection as a filter of the journal.
func (e *EventSelection) Filter() query.EventFilter {
	return query.EventFilter{
		Accounts: e.Accounts, IDs: e.IDs, Origins: e.Origins, Since: e.Since, Until: e.Until, After: e.After, Last: e.Last,
	}
}

// SelectionOf returns a filter of the journal in the form of the API.
func SelectionOf(f *query.EventFilter) EventSelection {
	return EventSelection{
		Accounts: f.Accounts, IDs: f.IDs, Origins: f.Origins, Since: f.Since, Until: f.Until, After: f.After, Last: f.Last,
	}
}

func addAll(v url.Values, key string, all []string) {
	for _, one := range all {
		v.Add(key, one)
	}
}

func addTime(v url.Values, key string, at time.Time) {
	if !at.IsZero() {
		v.Set(key, at.UTC().Format(time.RFC3339Nano))
	}
}

func addNumber(v url.Values, key string, n uint64) {
	if n > 0 {
		v.Set(key, strconv.FormatUint(n, 10))
	}
}

// parser parses query parameters and keeps the first error.
type parser struct {
	values url.Values
	err    error
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parser) time(key string) time.Time {
	text := p.values.Get(key)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		p.fail(fmt.Errorf("%s=%q: want a time such as 2026-07-16T21:00:00Z", key, text))
	}
	return at
}

func (p *parser) parse(key, text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		p.fail(fmt.Errorf("%s=%q: want a number", key, text))
	}
	return n
}

func (p *parser) number(key string) uint64 {
	if text := p.values.Get(key); text != "" {
		return p.parse(key, text)
	}
	return 0
}

func (p *parser) count(key string) int { return int(min(p.number(key), 1<<31-1)) }

// finish returns the first error. An unknown parameter is an error: a misspelled filter must not select everything.
func (p *parser) finish(known []Param) error {
	for key := range p.values {
		if !slices.ContainsFunc(known, func(k Param) bool { return k.Name == key }) {
			p.fail(fmt.Errorf("unknown parameter %q", key))
		}
	}
	return p.err
}
