package api

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// DeliveryAttempt is an attempt to deliver one event, or several with one request or write.
type DeliveryAttempt struct {
	Number  uint64    `json:"number" jsonschema_description:"in the log of attempts; numbers increase, with gaps"`
	Time    time.Time `json:"time" jsonschema_description:"when it began"`
	Sink    string    `json:"sink"`
	ID      string    `json:"id" jsonschema_description:"of the event; of several events the first, or the one that was asked for"`
	Batch   int       `json:"batch" jsonschema_description:"events in the same request or write"`
	Account string    `json:"account,omitempty" jsonschema_description:"of the events; left out if an older relay made the attempt"`

	Endpoint string  `json:"endpoint,omitempty"`
	Outcome  string  `json:"outcome" jsonschema:"enum=ok,enum=failed"`
	Status   int     `json:"status,omitempty" jsonschema_description:"of the HTTP answer"`
	Reason   string  `json:"reason,omitempty" jsonschema_description:"why it failed"`
	Answer   string  `json:"answer,omitempty" jsonschema_description:"the first KiB of the answer"`
	Latency  float64 `json:"latency_ms" jsonschema_description:"until the end of the answer"`
}

// The outcomes of an attempt.
const (
	OutcomeOK     = "ok"
	OutcomeFailed = "failed"
)

// AttemptOf returns an attempt in the form of the API. ids are those that were asked for.
func AttemptOf(a *journal.NumberedAttempt, ids []string) DeliveryAttempt {
	v := DeliveryAttempt{
		Number: a.Number, Time: a.Time, Sink: a.Sink, Account: a.Account, Batch: len(a.Events), Endpoint: a.Endpoint, Outcome: OutcomeOK, Status: a.Status,
		Reason: a.Error, Answer: a.Answer, Latency: milliseconds(a.Latency),
	}
	if a.Error != "" {
		v.Outcome = OutcomeFailed
	}
	if len(a.Events) > 0 {
		v.ID = a.Events[0]
	}
	if i := slices.IndexFunc(a.Events, func(id string) bool { return slices.Contains(ids, id) }); i >= 0 {
		v.ID = a.Events[i]
	}
	return v
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// AttemptQuery selects attempts. Fields that are empty or zero are ignored.
type AttemptQuery struct {
	journal.AttemptFilter
	Newest int // only the newest of this number, in the order in which they were written; 0: all
}

// AttemptParams are the parameters that select attempts.
func AttemptParams() []Param {
	return []Param{
		{"sink", "string", true, "only attempts of this sink"},
		{"account", "string", true, "only attempts to deliver events of this account"},
		{"id", "string", true, "only attempts to deliver the event with this ID"},
		{"digests", "string", false, "true: only attempts to deliver a digest of missed treats"},
		{"outcome", "string", false, "ok or failed"},
		{"since", "time", false, "only attempts that began at or after this time"},
		{"until", "time", false, "only attempts that began before this time"},
		{"newest", "number", false, "only the newest of this number, in the order in which they were written"},
	}
}

// outcomes are the outcomes by their names in a query.
func outcomes() map[string]journal.Outcome {
	return map[string]journal.Outcome{"": 0, OutcomeOK: journal.Accepted, OutcomeFailed: journal.Failed}
}

// Values returns the query as URL parameters.
func (q *AttemptQuery) Values() url.Values {
	v := url.Values{}
	addAll(v, "sink", q.Sinks)
	addAll(v, "account", q.Accounts)
	addAll(v, "id", q.IDs)
	if q.Digests {
		v.Set("digests", "true")
	}
	for name, outcome := range outcomes() {
		if outcome == q.Outcome {
			addText(v, "outcome", name)
		}
	}
	addTime(v, "since", q.Since)
	addTime(v, "until", q.Until)
	addNumber(v, "newest", uint64(max(q.Newest, 0)))
	return v
}

// ParseAttemptQuery parses the parameters of [AttemptQuery.Values].
func ParseAttemptQuery(v url.Values) (q AttemptQuery, err error) {
	p := parser{values: v}
	q.Sinks, q.Accounts, q.IDs = v["sink"], v["account"], v["id"]
	outcome, ok := outcomes()[v.Get("outcome")]
	if !ok {
		p.fail(fmt.Errorf("outcome=%q: want ok or failed", v.Get("outcome")))
	}
	q.Digests = p.flag("digests")
	q.Outcome, q.Since, q.Until, q.Newest = outcome, p.time("since"), p.time("until"), p.count("newest")
	return q, p.finish(AttemptParams())
}

// Attempts yields the attempts to deliver that match, in the order in which they were written.
func (c *Client) Attempts(ctx context.Context, q *AttemptQuery) iter.Seq2[DeliveryAttempt, error] {
	return lines[DeliveryAttempt](ctx, c, http.MethodGet, "attempts", q.Values())
}
