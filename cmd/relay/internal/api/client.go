package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tmaxmax/go-sse"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Client asks a relay. Its methods may be called by several goroutines. An error is a [*Problem] if the relay has answered with one, an
// [ErrLost] if its answer was cut off or could not be had, and else what ended ctx.
type Client struct {
	http *http.Client
	dir  string // the data folder
}

// ErrLost says that a relay was asked and is not there any more.
var ErrLost = errors.New("it has stopped")

// maxAnswer bounds an answer that is one JSON object.
const maxAnswer = 64 << 20

// maxLine bounds one line of an answer, and one event of a stream: a treat has 1 MiB at most, and its envelope little.
const maxLine = 16 << 20

// New makes the client of a relay that a transport leads to, whatever the host of the request. Errors name its data folder.
func New(through http.RoundTripper, dir string) *Client {
	return &Client{&http.Client{Transport: through}, dir}
}

// Close closes the connections that are idle. It never fails.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// send sends a request. The caller closes the body of the answer, which is a success.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any, header http.Header) (*http.Response, error) {
	var text io.Reader = http.NoBody
	if body != nil {
		data, err := encode(body)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(data)
	}
	at := url.URL{Scheme: "http", Host: "relay", Path: Root, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, at.JoinPath(path).String(), text)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	p := &Problem{Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == MediaProblem {
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(p); err != nil {
			return nil, c.lost(ctx, err)
		}
		return nil, p
	}
	p.Detail = "ask the relay that runs on " + c.dir + ": it answers " + resp.Status
	return nil, p.WithFix(advice.Do("restart it with this version")).WithCode(exit.Unavailable)
}

// failed returns err with what was asked, and with what to do about it.
func (c *Client) failed(err error, fix string) error {
	return &advice.Error{Err: fmt.Errorf("ask the relay that runs on %s: %w", c.dir, err), Fix: advice.Do(fix)}
}

// lost is an error of the connection.
func (c *Client) lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, own := errors.AsType[*net.OpError](err); own || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrNoRelay) {
		err = ErrLost
	} else {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	return exit.With(exit.Unavailable, c.failed(err, "try again"))
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// ask sends a request whose answer is a JSON object.
func ask[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (answer T, err error) {
	resp, err := c.send(ctx, method, path, query, body, nil)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return answer, c.lost(ctx, err)
	}
	return answer, nil
}

// A line is one of an answer that has many.
type line[T any] struct {
	value T
	last  *LastLine // nil: it is not the last one
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *line[T]) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`{"problem":`)) || bytes.HasPrefix(data, []byte(`{"end":`)) {
		l.last = new(LastLine)
		return json.Unmarshal(data, l.last)
	}
	return json.Unmarshal(data, &l.value)
}

// LastLine is the last line of an answer that has one JSON object a line: without it the answer was cut off.
type LastLine struct {
	Problem *Problem `json:"problem,omitempty" jsonschema_description:"why the answer ends here"`
	End     bool     `json:"end,omitempty" jsonschema_description:"the answer is whole"`
}

// lines yields what an answer has, one JSON object a line. An error is the last thing it yields.
func lines[T any](ctx context.Context, c *Client, method, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		resp, err := c.send(ctx, method, path, query, nil, nil)
		if err != nil {
			yield(none, err)
			return
		}
		defer resp.Body.Close() //nolint:errcheck // it was only read
		for dec := json.NewDecoder(resp.Body); ; {
			var l line[T]
			switch err := dec.Decode(&l); {
			case err != nil:
				yield(none, c.lost(ctx, err))
				return
			case l.last != nil && l.last.Problem != nil:
				yield(none, l.last.Problem)
				return
			case l.last != nil:
				return
			case !yield(l.value, nil):
				return
			}
		}
	}
}

// Status returns how the relay is. Only one that runs has it. It waits no longer than [Timeout].
func (c *Client) Status(ctx context.Context) (Status, error) {
	limited, cancel := context.WithTimeoutCause(ctx, Timeout, fmt.Errorf("no answer within %v", Timeout))
	defer cancel()
	s, err := ask[Status](limited, c, http.MethodGet, "status", nil, nil)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = exit.With(exit.Unavailable, c.failed(context.Cause(limited), "restart it"))
	}
	return s, err
}

// Journal returns an overview of the journal.
func (c *Client) Journal(ctx context.Context) (Journal, error) {
	return ask[Journal](ctx, c, http.MethodGet, "journal", nil, nil)
}

// State yields what is kept beside the journal.
func (c *Client) State(ctx context.Context) iter.Seq2[StateItem, error] {
	return lines[StateItem](ctx, c, http.MethodGet, "journal/state", nil)
}

// History yields the events that match, in the order in which they were journaled, up to the newest at the time of the call.
func (c *Client) History(ctx context.Context, q *EventQuery) iter.Seq2[Event, error] {
	return lines[Event](ctx, c, http.MethodGet, "history", q.Values())
}

// Follow hands events to visit as they are journaled, until ctx ends, which is no error. Before them, at says at which number the stream begins. What was
// put before one sink only is left out.
func (c *Client) Follow(ctx context.Context, q *FollowQuery, at func(number uint64), visit func(*Event) error) error {
	header := http.Header{"Accept": {MediaEvents}}
	if q.Resume {
		header.Set("Last-Event-ID", strconv.FormatUint(q.After, 10))
	}
	resp, err := c.send(ctx, http.MethodGet, "events", q.Values(), nil, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	for e, err := range sse.Read(resp.Body, &sse.ReadConfig{MaxEventSize: maxLine}) {
		if err != nil {
			return c.lost(ctx, err)
		}
		if err := followed(&e, at, visit); errors.Is(err, ErrLost) {
			return c.lost(ctx, err)
		} else if err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return c.lost(ctx, ErrLost)
}

// The types of events of a stream that are no events of the journal.
const (
	StreamPosition = "relay.position" // a [Position]
	StreamProblem  = "relay.problem"  // a [Problem], the last one
)

func followed(e *sse.Event, at func(uint64), visit func(*Event) error) error {
	switch e.Type {
	case StreamPosition:
		var p Position
		if err := json.Unmarshal([]byte(e.Data), &p); err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		at(p.Number)
		return nil
	case StreamProblem:
		p := new(Problem)
		if err := json.Unmarshal([]byte(e.Data), p); err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		return p
	}
	number, err := strconv.ParseUint(e.LastEventID, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	event, err := streamed(number, []byte(e.Data))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return visit(event)
}

// Sinks returns how the sinks are that are configured or have a place in the journal.
func (c *Client) Sinks(ctx context.Context) ([]Sink, error) {
	return ask[[]Sink](ctx, c, http.MethodGet, "sinks", nil, nil)
}

// EnableSink has a disabled sink sent its events again, from where it stopped.
func (c *Client) EnableSink(ctx context.Context, name string) (SinkChange, error) {
	return ask[SinkChange](ctx, c, http.MethodPost, "sinks/"+url.PathEscape(name)+"/enable", nil, struct{}{})
}

// DisableSink has nothing more sent to a sink.
func (c *Client) DisableSink(ctx context.Context, name, reason string) (SinkChange, error) {
	return ask[SinkChange](ctx, c, http.MethodPost, "sinks/"+url.PathEscape(name)+"/disable", nil, DisableOrder{reason})
}

// DisableOrder says why a sink is disabled.
type DisableOrder struct {
	Reason string `json:"reason"`
}

// DeadLetters yields the dead letters that match, oldest first, up to the newest at the time of the call.
func (c *Client) DeadLetters(ctx context.Context, q *LetterQuery) iter.Seq2[journal.DeadLetter, error] {
	return lines[journal.DeadLetter](ctx, c, http.MethodGet, "deadletters", q.Values())
}

// DeadLetter returns one dead letter with its event. If the journal does not hold the event any more it is left out.
func (c *Client) DeadLetter(ctx context.Context, number uint64) (journal.DeadLetter, error) {
	return ask[journal.DeadLetter](ctx, c, http.MethodGet, letterPath(number), nil, nil)
}

// Redrive gives the events of the dead letters that match to their sinks again, and deletes the dead letters. It yields each as it is done.
func (c *Client) Redrive(ctx context.Context, q *LetterQuery) iter.Seq2[LetterResult, error] {
	return lines[LetterResult](ctx, c, http.MethodPost, "deadletters/redrive", q.Values())
}

// Purge deletes the dead letters that match. It yields each as it is done.
func (c *Client) Purge(ctx context.Context, q *LetterQuery) iter.Seq2[LetterResult, error] {
	return lines[LetterResult](ctx, c, http.MethodPost, "deadletters/purge", q.Values())
}

func letterPath(number uint64) string { return "deadletters/" + strconv.FormatUint(number, 10) }

// Trace returns the way of one event.
func (c *Client) Trace(ctx context.Context, id string) (Trace, error) {
	return ask[Trace](ctx, c, http.MethodGet, "traces/"+url.PathEscape(id), nil, nil)
}

// Replay has a part of a replay sent.
func (c *Client) Replay(ctx context.Context, order *ReplayOrder) (ReplayPart, error) {
	return ask[ReplayPart](ctx, c, http.MethodPost, "replay", nil, order)
}

// PutTest journals a test event. It returns when it is on disk.
func (c *Client) PutTest(ctx context.Context, order *TestOrder) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "tests", nil, order)
	return err
}

// Reconcile compares an account's history with the journal now.
func (c *Client) Reconcile(ctx context.Context, account string) (intake.Reconciliation, error) {
	return ask[intake.Reconciliation](ctx, c, http.MethodPost, "accounts/"+url.PathEscape(account)+"/reconcile", nil, struct{}{})
}

// streamed is an event of a stream: its data is the CloudEvent, from which the rest is read.
func streamed(number uint64, data []byte) (*Event, error) {
	var e pipeline.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("event %d: %w", number, err)
	}
	return &Event{
		Number: number, Time: e.Time, Journaled: e.RecordedTime, ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin,
		Type: e.Type, Event: data,
	}, nil
}
