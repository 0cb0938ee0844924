package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery/digests"
)

// Digest is the digest of missed treats that one sink gets of one comparison with the history.
type Digest struct {
	ID       string    `json:"id"`
	Number   uint64    `json:"number" jsonschema_description:"in the journal, of the comparison"`
	Time     time.Time `json:"time" jsonschema_description:"when the comparison was done"`
	Sink     string    `json:"sink"`
	Account  string    `json:"account"`
	Provider string    `json:"provider"`
	Count    int       `json:"count" jsonschema_description:"treats that it counts, by the sink's rules as they are now"`
	First    time.Time `json:"first" jsonschema_description:"when the earliest of them was sent"`
	Last     time.Time `json:"last" jsonschema_description:"when the latest of them was sent"`

	State      string    `json:"state" jsonschema:"enum=waiting,enum=delivered,enum=dead_letter,enum=given_up" jsonschema_description:"given_up: its dead letter was deleted, or redriven and not accepted yet"`
	Attempts   int       `json:"attempts" jsonschema_description:"in the log of attempts"`
	Latest     time.Time `json:"latest_attempt,omitzero"`
	Reason     string    `json:"reason,omitempty" jsonschema_description:"why the latest attempt failed"`
	DeadLetter uint64    `json:"dead_letter,omitempty" jsonschema_description:"the number of its dead letter"`
}

// DigestOf returns a digest in the form of the API.
func DigestOf(d *digests.Digest) Digest {
	return Digest{
		ID: d.ID, Number: d.Number, Time: d.Time, Sink: d.Sink, Account: d.Account, Provider: d.Provider, Count: d.Count, First: d.First, Last: d.Last,
		State: string(d.State), Attempts: d.Attempts, Latest: d.Latest, Reason: d.Reason, DeadLetter: d.DeadLetter,
	}
}

// DigestParams are the parameters that select digests.
func DigestParams() []Param {
	return []Param{
		{"sink", "string", true, "only digests of this sink"},
		{"account", "string", true, "only digests of this account's treats"},
		{"since", "time", false, "only those of comparisons at or after this time"},
		{"until", "time", false, "only those of comparisons before this time"},
		{"newest", "number", false, "only the newest of this number, oldest first"},
	}
}

// DigestValues returns a filter as URL parameters.
func DigestValues(f *digests.Filter) url.Values {
	v := url.Values{}
	addAll(v, "sink", f.Sinks)
	addAll(v, "account", f.Accounts)
	addTime(v, "since", f.Since)
	addTime(v, "until", f.Until)
	addNumber(v, "newest", uint64(max(f.Newest, 0)))
	return v
}

// ParseDigestFilter parses the parameters of [DigestValues].
func ParseDigestFilter(v url.Values) (f digests.Filter, err error) {
	p := parser{values: v}
	f = digests.Filter{Sinks: v["sink"], Accounts: v["account"], Since: p.time("since"), Until: p.time("until"), Newest: p.count("newest")}
	return f, p.finish(DigestParams())
}

// Digests yields the digests that match, oldest first.
func (c *Client) Digests(ctx context.Context, f *digests.Filter) iter.Seq2[Digest, error] {
	return lines[Digest](ctx, c, http.MethodGet, "digests", DigestValues(f))
}

// Digest returns the digest with an ID.
func (c *Client) Digest(ctx context.Context, id string) (Digest, error) {
	return ask[Digest](ctx, c, http.MethodGet, "digests/"+url.PathEscape(id), nil, nil)
}

// DigestTreats yields the treats that a digest counts, in the order of the journal.
func (c *Client) DigestTreats(ctx context.Context, id string) iter.Seq2[Event, error] {
	return lines[Event](ctx, c, http.MethodGet, "digests/"+url.PathEscape(id)+"/treats", nil)
}

// digestOperations are the operations on digests.
func digestOperations() []Operation {
	const path = "/digests"
	return []Operation{
		{Method: http.MethodGet, Path: path, Summary: "Digests of missed treats, oldest first", Params: DigestParams(), Answer: Digest{}, Lines: true, Role: Moderator},
		{Method: http.MethodGet, Path: path + "/{id}", Summary: "One digest", Answer: Digest{}, Role: Moderator},
		{Method: http.MethodGet, Path: path + "/{id}/treats", Summary: "The treats that a digest counts, in journal order", Answer: Event{}, Lines: true, Role: Moderator},
	}
}
