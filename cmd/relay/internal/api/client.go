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
	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Client is a client of the local API. Its methods may be called by several goroutines. Their error is a [*Problem] if relay answered with one, an
// [ErrLost] if there was no complete answer, or else the cause of ctx.
type Client struct {
	http *http.Client
	dir  string // the data folder
}

// ErrLost means that relay stopped before its answer was complete.
var ErrLost = errors.New("it has stopped")

// maxAnswer limits an answer that is one JSON object, in bytes.
const maxAnswer = 64 << 20

// maxLine limits one line of an answer and one event of a stream, in bytes. A treat has at most 1 MiB.
const maxLine = 16 << 20

// New returns a client that sends every request through the transport, which ignores the host. Errors name the data folder dir.
func New(through http.RoundTripper, dir string) *Client {
	return &Client{&http.Client{Transport: through}, dir}
}

// Close closes idle connections. It never fails.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// send sends a request and returns a successful answer. The caller must close its body.
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
	p := &Problem{Details: problem.Details{Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode}}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == problem.MediaType {
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(p); err != nil {
			return nil, c.lost(ctx, err)
		}
		return nil, p
	}
	p.Detail = "ask the relay that runs on " + c.dir + ": it answers " + resp.Status
	return nil, p.WithFix(advice.Do("restart it with this version")).WithCode(exit.Unavailable)
}

// failed returns the error of a request, with what to do about it.
func (c *Client) failed(err error, fix string) error {
	return &advice.Error{Err: fmt.Errorf("ask the relay that runs on %s: %w", c.dir, err), Fix: advice.Do(fix)}
}

// lost returns the error of a request whose connection failed with err.
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

// ask sends a request and returns its answer, a JSON object.
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

// A line is one line of an answer with many lines.
type line[T any] struct {
	value T
	last  *LastLine // nil if it is not the last line
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *line[T]) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`{"problem":`)) || bytes.HasPrefix(data, []byte(`{"end":`)) {
		l.last = new(LastLine)
		return json.Unmarshal(data, l.last)
	}
	return json.Unmarshal(data, &l.value)
}

// LastLine is the last line of an answer with one JSON object per line. An answer without it was cut off.
type LastLine struct {
	Problem *Problem `json:"problem,omitempty" jsonschema_description:"why the response is incomplete"`
	End     bool     `json:"end,omitempty" jsonschema_description:"the response is complete"`
}

// lines yields the JSON objects of an answer with one object per line. After an error it yields nothing.
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

// Status returns the status of the running relay. It waits at most [Timeout]. Without a running relay the error is the problem [ProblemNotRunning].
func (c *Client) Status(ctx context.Context) (Status, error) {
	limited, cancel := context.WithTimeoutCause(ctx, Timeout, fmt.Errorf("no answer within %v", Timeout))
	defer cancel()
	s, err := ask[Status](limited, c, http.MethodGet, "status", nil, nil)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = exit.With(exit.Unavailable, c.failed(context.Cause(limited), "restart it"))
	}
	return s, err
}

// Journal returns a summary of the journal.
func (c *Client) Journal(ctx context.Context) (Journal, error) {
	return ask[Journal](ctx, c, http.MethodGet, "journal", nil, nil)
}

// State yields the keys of the journal's state, for a backup.
func (c *Client) State(ctx context.Context) iter.Seq2[StateItem, error] {
	return lines[StateItem](ctx, c, http.MethodGet, "journal/state", nil)
}

// History yields the events that match, in the order in which they were journaled, up to the newest at the time of the call.
func (c *Client) History(ctx context.Context, q *EventQuery) iter.Seq2[Event, error] {
	return lines[Event](ctx, c, http.MethodGet, "history", q.Values())
}

// Follow passes events to visit as they are journaled, until ctx ends, which is no error. First it calls at with the number after which the stream
// begins. Events for one sink only, such as replays, are not in the stream.
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

// The types of stream events that are not events of the journal.
const (
	StreamPosition = "relay.position" // a [Position]
	StreamProblem  = "relay.problem"  // a [Problem]; the stream ends
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

// Sinks returns the sinks that are configured or have a cursor in the journal.
func (c *Client) Sinks(ctx context.Context) ([]Sink, error) {
	return ask[[]Sink](ctx, c, http.MethodGet, "sinks", nil, nil)
}

// EnableSink enables a disabled sink. It continues where it stopped.
func (c *Client) EnableSink(ctx context.Context, name string) (SinkChange, error) {
	return ask[SinkChange](ctx, c, http.MethodPost, "sinks/"+url.PathEscape(name)+"/enable", nil, struct{}{})
}

// DisableSink disables a sink: its events wait in the journal.
func (c *Client) DisableSink(ctx context.Context, name, reason string) (SinkChange, error) {
	return ask[SinkChange](ctx, c, http.MethodPost, "sinks/"+url.PathEscape(name)+"/disable", nil, DisableRequest{reason})
}

// DisableRequest is the body of a request to disable a sink.
type DisableRequest struct {
	Reason string `json:"reason"`
}

// DeadLetters yields the dead letters that match, oldest first, up to the newest at the time of the call.
func (c *Client) DeadLetters(ctx context.Context, q *LetterQuery) iter.Seq2[journal.DeadLetter, error] {
	return lines[journal.DeadLetter](ctx, c, http.MethodGet, "deadletters", q.Values())
}

// DeadLetter returns one dead letter with its event, which is left out if the journal no longer holds it.
func (c *Client) DeadLetter(ctx context.Context, number uint64) (journal.DeadLetter, error) {
	return ask[journal.DeadLetter](ctx, c, http.MethodGet, letterPath(number), nil, nil)
}

// Redrive queues the events of matching dead letters for their sinks again, and deletes the dead letters. It yields the result of each.
func (c *Client) Redrive(ctx context.Context, q *LetterQuery) iter.Seq2[LetterResult, error] {
	return lines[LetterResult](ctx, c, http.MethodPost, "deadletters/redrive", q.Values())
}

// Purge deletes matching dead letters. It yields the result of each.
func (c *Client) Purge(ctx context.Context, q *LetterQuery) iter.Seq2[LetterResult, error] {
	return lines[LetterResult](ctx, c, http.MethodPost, "deadletters/purge", q.Values())
}

func letterPath(number uint64) string { return "deadletters/" + strconv.FormatUint(number, 10) }

// Trace returns what happened to one event.
func (c *Client) Trace(ctx context.Context, id string) (Trace, error) {
	return ask[Trace](ctx, c, http.MethodGet, "traces/"+url.PathEscape(id), nil, nil)
}

// Replay sends one part of a replay. Call it again, with After set to Done, while the result has More.
func (c *Client) Replay(ctx context.Context, order *ReplayRequest) (ReplayPart, error) {
	return ask[ReplayPart](ctx, c, http.MethodPost, "replay", nil, order)
}

// PutTest journals a test event. It returns when the event is on disk.
func (c *Client) PutTest(ctx context.Context, order *TestRequest) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "tests", nil, order)
	return err
}

// Reconcile compares an account's history with the journal, and journals what is missing.
func (c *Client) Reconcile(ctx context.Context, account string) (intake.Reconciliation, error) {
	return ask[intake.Reconciliation](ctx, c, http.MethodPost, "accounts/"+url.PathEscape(account)+"/reconcile", nil, struct{}{})
}

// streamed returns the event of a stream event, whose data is the CloudEvent.
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
