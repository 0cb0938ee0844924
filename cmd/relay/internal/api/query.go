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

// EventQuery chooses events of the journal. What is empty or zero does not matter.
type EventQuery struct {
	query.EventFilter
	Limit int // no more than so many, oldest first
}

// Values is the query in the form of a URL.
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

// ParseEventQuery reads what [EventQuery.Values] writes.
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

// FollowQuery says which events a stream has.
type FollowQuery struct {
	query.FollowConfig
	// Resume is true if After says where to go on, also if that is 0. Else the stream begins with Since, or, without that, with what is
	// journaled from now on.
	Resume bool
}

// Values is the query in the form of a URL, without the place to go on at.
func (q *FollowQuery) Values() url.Values {
	v := url.Values{}
	addAll(v, "account", q.Accounts)
	addTime(v, "since", q.Since)
	return v
}

// ParseFollowQuery reads what [FollowQuery.Values] writes. lastEventID is the header Last-Event-ID; empty: there is none.
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

// LetterQuery chooses dead letters. What is empty or zero does not matter.
type LetterQuery struct {
	journal.DeadLetterFilter
	Limit int  // no more than so many, oldest first
	All   bool // to redrive or purge without a filter it has to be said
}

// Chooses reports whether a filter is set; a limit is none.
func (q *LetterQuery) Chooses() bool {
	return len(q.Sinks)+len(q.Accounts)+len(q.IDs)+len(q.Numbers) > 0 || !q.Since.IsZero() || !q.Until.IsZero() || q.Reason != ""
}

// Values is the query in the form of a URL.
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

// ParseLetterQuery reads what [LetterQuery.Values] writes.
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

// ReplayOrder asks for a part of a replay.
type ReplayOrder struct {
	Sink string `json:"sink"`
	Run  string `json:"run" jsonschema_description:"names the replay: nothing is sent twice in one run"`
	EventChoice
}

// EventChoice is an [query.EventFilter] as JSON.
type EventChoice struct {
	Accounts []string          `json:"accounts,omitempty"`
	IDs      []string          `json:"ids,omitempty"`
	Origins  []pipeline.Origin `json:"origins,omitempty"`
	Since    time.Time         `json:"since,omitzero"`
	Until    time.Time         `json:"until,omitzero"`
	After    uint64            `json:"after,omitempty" jsonschema_description:"only events with a greater number"`
	Last     uint64            `json:"last,omitempty" jsonschema_description:"no event with a greater number"`
}

// Filter is the choice in the form of the journal.
func (c *EventChoice) Filter() query.EventFilter {
	return query.EventFilter{
		Accounts: c.Accounts, IDs: c.IDs, Origins: c.Origins, Since: c.Since, Until: c.Until, After: c.After, Last: c.Last,
	}
}

// ChoiceOf is a filter of the journal in the form of the API.
func ChoiceOf(f *query.EventFilter) EventChoice {
	return EventChoice{
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

// parser reads the parameters of a query, and keeps the first error.
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

// finish returns the first error. Parameters of other names are one: a misspelled filter must not choose everything.
func (p *parser) finish(known []Param) error {
	for key := range p.values {
		if !slices.ContainsFunc(known, func(k Param) bool { return k.Name == key }) {
			p.fail(fmt.Errorf("unknown parameter %q", key))
		}
	}
	return p.err
}
