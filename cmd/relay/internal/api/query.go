package api

import (
	"errors"
	"fmt"
	"maps"
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
	Limit  int // at most this many, oldest first; 0: all
	Newest int // only the newest of this number, in journal order, and no limit; 0: all
}

// Values returns the query as URL parameters.
func (q *EventQuery) Values() url.Values {
	v := url.Values{}
	addAll(v, "account", q.Accounts)
	addAll(v, "id", q.IDs)
	addOrigins(v, q.Origins)
	addAll(v, "type", q.Types)
	addText(v, "text", q.Text)
	addTime(v, "since", q.Since)
	addTime(v, "until", q.Until)
	addNumber(v, "after", q.After)
	addNumber(v, "last", q.Last)
	addNumber(v, "limit", uint64(max(q.Limit, 0)))
	addNumber(v, "newest", uint64(max(q.Newest, 0)))
	return v
}

// ParseEventQuery parses the parameters of [EventQuery.Values].
func ParseEventQuery(v url.Values) (q EventQuery, err error) {
	p := parser{values: v}
	q.Accounts, q.IDs = v["account"], v["id"]
	q.Origins, q.Types, q.Text = p.origins(), p.types(), v.Get("text")
	q.Since, q.Until = p.time("since"), p.time("until")
	q.After, q.Last, q.Limit, q.Newest = p.number("after"), p.number("last"), p.count("limit"), p.count("newest")
	if q.Limit > 0 && q.Newest > 0 {
		p.fail(errors.New("want either limit or newest"))
	}
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
	addAll(v, "type", q.Types)
	addOrigins(v, q.Origins)
	addTime(v, "since", q.Since)
	return v
}

// ParseFollowQuery parses the parameters of [FollowQuery.Values] and the header Last-Event-ID, which may be empty.
func ParseFollowQuery(v url.Values, lastEventID string) (q FollowQuery, err error) {
	p := parser{values: v}
	q.Accounts, q.Types, q.Origins, q.Since = v["account"], p.types(), p.origins(), p.time("since")
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
	addText(v, "reason", q.Reason)
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
	q.All = p.flag("all")
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

func addOrigins(v url.Values, origins []pipeline.Origin) {
	for _, o := range origins {
		v.Add("origin", string(o))
	}
}

func addText(v url.Values, key, text string) {
	if text != "" {
		v.Set(key, text)
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
	if err != nil && p.err == nil {
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

// origins returns the values of origin. An unknown one is an error: no event would match it.
func (p *parser) origins() (all []pipeline.Origin) {
	for _, text := range p.values["origin"] {
		o := pipeline.Origin(text)
		if !slices.Contains([]pipeline.Origin{pipeline.OriginLive, pipeline.OriginBackfill, pipeline.OriginTest, pipeline.OriginReplay}, o) {
			p.fail(fmt.Errorf("origin=%q: want live, backfill, test or replay", text))
		}
		all = append(all, o)
	}
	return all
}

// types returns the values of type. An unknown one is an error: no event would match it.
func (p *parser) types() []string {
	for _, text := range p.values["type"] {
		if !slices.Contains([]string{pipeline.EventType, pipeline.AlertType, pipeline.DigestType}, text) {
			p.fail(fmt.Errorf("type=%.80q: want %s, %s or %s", text, pipeline.EventType, pipeline.AlertType, pipeline.DigestType))
		}
	}
	return p.values["type"]
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

// flag returns whether a parameter is true.
func (p *parser) flag(key string) bool {
	text := p.values.Get(key)
	if text != "" && text != "true" && text != "false" {
		p.fail(fmt.Errorf("%s=%q: want true or false", key, text))
	}
	return text == "true"
}

// finish returns the first error.
func (p *parser) finish(known []Param) error {
	p.fail(checkParams(p.values, known))
	return p.err
}

// CheckQuery returns an error if the query of a request is malformed, or has other parameters than these: what selects nothing must not select
// everything.
func CheckQuery(query string, known []Param) error {
	v, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the query of the URL is malformed: write % as %25, and ; as %3B")
	}
	return checkParams(v, known)
}

func checkParams(v url.Values, known []Param) error {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		at := slices.IndexFunc(known, func(k Param) bool { return k.Name == key })
		switch {
		case at < 0:
			return fmt.Errorf("unknown parameter %.80q", key)
		case !known[at].Repeated && len(v[key]) > 1:
			return fmt.Errorf("%s is there %d times: want one", key, len(v[key]))
		case slices.Contains(v[key], ""):
			return fmt.Errorf("%s is empty: give it a value, or leave it out", key)
		}
	}
	return nil
}
