// Package server has the handlers of relay's local API, see the package api. They serve a journal of either engine and, within a running relay, that
// relay too.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/overlays"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/digests"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
	"github.com/treatrelay/relay/web/overlay"
)

// Config is what the handlers serve. Its functions may be called by several goroutines.
type Config struct {
	// Journal returns the journal. It may wait a few seconds for a journal that is being opened; after that its error is a [*api.Problem].
	Journal func(context.Context) (*journal.Journal, error)
	// Sinks returns the names of the configured sinks in order, and their types.
	Sinks func() (names []string, types map[string]string)
	// Selections returns the rules of the configured sinks, which decide what their digests count.
	Selections func() map[string]rules.Selection
	// Configuration returns the configuration file.
	Configuration func() (api.Configuration, error)
	// Status returns the status of the running relay; nil: none runs.
	Status func(context.Context) api.Status
	// Series returns the last hour of the running relay; nil: none runs.
	Series func() api.Series
	// Reconcile compares an account's history with the journal; nil: no relay runs.
	Reconcile func(ctx context.Context, account string) (intake.Reconciliation, error)
	// Logins runs logins; nil: no relay runs.
	Logins Logins
	Pages
}

// Pages is what the handlers need for the pages that relay serves.
type Pages struct {
	// Overlays returns the overlays. It may wait like Config.Journal.
	Overlays func(context.Context) (Overlays, error)
	// Accounts returns the names of the configured accounts in order.
	Accounts func() []string
	// PageURL returns the URL of the pages, without a slash at the end; empty: relay serves none.
	PageURL func() string
	// NewLink returns a link that logs in to the dashboard, for the sender of the request with that context; nil: no relay runs.
	NewLink func(context.Context, api.Role) (api.Link, error)
}

type server struct {
	Config
	turns *turns // of readers of events
}

// A handler serves a request. Its error is the answer; it must be nil once the answer has begun.
type handler func(http.ResponseWriter, *http.Request) error

// New returns the handler of everything below [api.Root].
func New(cfg Config) http.Handler {
	s := &server{cfg, newTurns()}
	mux := http.NewServeMux()
	serve := s.handlers()
	for _, o := range api.Operations() {
		answer := serve[o.Method+" "+o.Path]
		mux.HandleFunc(o.Method+" "+api.Root+o.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := api.CheckQuery(r.URL.RawQuery, o.Params); err != nil {
				s.fail(w, usage(err))
			} else if err := answer(w, r); err != nil {
				s.fail(w, err)
			}
		})
	}
	mux.HandleFunc(api.Root+"/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, api.NewProblem(http.StatusNotFound, api.ProblemUsage, fmt.Sprintf("%s %s: there is no such request", r.Method, r.URL.Path)).
			WithFix(advice.Do("see docs/api.md")))
	})
	return mux
}

// handlers returns the handlers of [api.Operations], by method and path.
func (s *server) handlers() map[string]handler {
	all := map[string]handler{
		"GET /status":                        s.status,
		"GET /series":                        s.series,
		"GET /journal":                       s.journal,
		"GET /journal/state":                 s.state,
		"GET /history":                       s.history,
		"GET /events":                        s.events,
		"GET /sinks":                         s.sinks,
		"POST /sinks/{name}/enable":          s.enableSink,
		"POST /sinks/{name}/disable":         s.disableSink,
		"GET /config":                        s.configuration,
		"GET /deadletters":                   s.deadLetters,
		"GET /deadletters/{number}":          s.deadLetter,
		"POST /deadletters/redrive":          s.redrive,
		"POST /deadletters/purge":            s.purge,
		"GET /attempts":                      s.attempts,
		"GET /traces/{id}":                   s.trace,
		"POST /replay":                       s.replay,
		"POST /tests":                        s.putTest,
		"POST /accounts/{account}/reconcile": s.reconcile,
		"POST /sessions/links":               s.newLink,
		"GET /setup":                         s.setup,
		"POST /setup":                        s.setUp,
	}
	maps.Copy(all, s.overlayHandlers())
	maps.Copy(all, s.loginHandlers())
	maps.Copy(all, s.digestHandlers())
	return all
}

// fail answers with a problem. It must not be called after the answer has begun.
func (s *server) fail(w http.ResponseWriter, err error) {
	p := s.problem(err)
	problem.Send(w, p.Status, p)
}

// problem returns an error in the form of the API.
func (s *server) problem(err error) *api.Problem {
	var p *api.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, query.ErrUnknownEvent), errors.Is(err, digests.ErrUnknown):
		p = api.NewProblem(http.StatusNotFound, api.ProblemUnknownEvent, text.Line(err.Error()))
	case errors.Is(err, journal.ErrEventGone):
		p = api.NewProblem(http.StatusGone, api.ProblemEventGone, text.Line(err.Error()))
	case errors.Is(err, overlay.ErrNoOverlay), errors.Is(err, overlay.ErrNoKey):
		return api.NewProblem(http.StatusNotFound, api.ProblemNoOverlay, text.Line(err.Error())).WithFix(advice.Run("relay overlay list")).WithCode(exit.Usage)
	case errors.Is(err, overlays.ErrConfigured):
		return api.NewProblem(http.StatusConflict, api.ProblemConfigured, text.Line(err.Error())).
			WithFix(advice.Do("take it out of relay.yaml, reload relay, and try again")).WithCode(exit.Usage)
	case errors.Is(err, overlay.ErrNoTreat):
		p = api.NewProblem(http.StatusNotFound, api.ProblemUnknownEvent, text.Line(err.Error()))
	case errors.Is(err, overlay.ErrTooManyAsked), errors.Is(err, overlay.ErrLeftOut):
		p = api.NewProblem(http.StatusConflict, api.ProblemFailed, text.Line(err.Error()))
	default:
		wrong, fix := advice.Split(err)
		p = api.NewProblem(http.StatusInternalServerError, api.ProblemFailed, text.Line(wrong)).WithFix(fix)
	}
	p.Code = exit.Code(err)
	return p
}

// usage returns the problem of a wrong request.
func usage(err error) error {
	return api.NewProblem(http.StatusBadRequest, api.ProblemUsage, text.Line(err.Error())).WithCode(exit.Usage)
}

// answer answers with a JSON object.
func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client may have left
	return nil
}

// maxRequest limits the body of a request, in bytes.
const maxRequest = 64 << 20

// body decodes the JSON object of a request.
func body(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return usage(fmt.Errorf("read the request: %s: want %s, not %s", wrong.Field, inWords(wrong.Type), wrong.Value))
	}
	switch {
	case errors.Is(err, io.EOF):
		return usage(errors.New("the request has no body: send a JSON object"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return usage(errors.New("the body of the request ends too early: send a JSON object"))
	case err != nil:
		return usage(fmt.Errorf("read the request: %w", err))
	}
	return nil
}

// inWords returns what a JSON value of a type is.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// notRunning returns the problem of a request that needs a running relay.
func notRunning() error {
	return api.NewProblem(http.StatusServiceUnavailable, api.ProblemNotRunning, "no relay runs on this data folder").WithFix(advice.Do("start it with relay")).WithCode(exit.Unavailable)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) error {
	if s.Status == nil {
		return notRunning()
	}
	return answer(w, s.Status(r.Context()))
}

func (s *server) series(w http.ResponseWriter, _ *http.Request) error {
	if s.Series == nil {
		return notRunning()
	}
	return answer(w, s.Series())
}

func (s *server) reconcile(w http.ResponseWriter, r *http.Request) error {
	if s.Reconcile == nil {
		return notRunning()
	}
	result, err := s.Reconcile(r.Context(), r.PathValue("account"))
	if err != nil {
		return err
	}
	return answer(w, result)
}

func (s *server) journal(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	o, err := query.Inspect(r.Context(), j)
	if err != nil {
		return err
	}
	last, err := j.LastNumber(r.Context())
	if err != nil {
		return err
	}
	v := api.Journal{Last: last, Messages: o.Messages, Bytes: o.Bytes}
	if o.Newest.ID != "" {
		e := api.EventOf(&query.Event{Record: o.Newest, Journaled: o.Recorded})
		if event, err := o.Newest.Event(); err == nil {
			e.Time = event.Time
		}
		v.Newest = &e
	}
	return answer(w, v)
}

func (s *server) trace(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	t, err := query.Find(r.Context(), j, r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := api.TraceOf(t)
	if err != nil {
		return err
	}
	return answer(w, v)
}

// testID is the form of the ID of a test event.
var testID = regexp.MustCompile("^" + intake.TestIDPrefix + "[0-9A-Za-z_-]{1,100}$")

// testAhead is how far the time of a test may be ahead of relay's clock, which may be that of another machine.
const testAhead = 24 * time.Hour

// checkTest checks that an event is a test, and one that relay itself could have made.
func (s *server) checkTest(e *pipeline.Event) error {
	switch {
	case e.Origin != pipeline.OriginTest:
		return usage(fmt.Errorf("event %.100q has the origin %.20q: only test events may be put into the journal", e.ID, e.Origin))
	case !testID.MatchString(e.ID):
		return usage(fmt.Errorf("%.100q is no ID of a test event: use %s and up to 100 letters, digits, '_' or '-'", e.ID, intake.TestIDPrefix))
	case e.Time.After(time.Now().Add(testAhead)):
		return usage(fmt.Errorf("the time of event %s, %s, is in the future", e.ID, e.Time.Format(time.RFC3339)))
	}
	return s.checkAccounts([]string{e.Data.Account})
}

func (s *server) putTest(w http.ResponseWriter, r *http.Request) error {
	var order api.TestRequest
	if err := body(w, r, &order); err != nil {
		return err
	}
	var e pipeline.Event
	if err := json.Unmarshal(order.Event, &e); err != nil {
		return usage(fmt.Errorf("read the event: %w", err))
	}
	if err := s.checkTest(&e); err != nil {
		return err
	}
	if err := s.checkSink(order.Sink); err != nil {
		return err
	}
	j, err := s.Journal(r.Context())
	if err == nil {
		err = j.PutTest(r.Context(), &e, order.Sink)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// replayPartTime is how long one part of a replay takes, so that a command can show progress.
const replayPartTime = 500 * time.Millisecond

// replay sends events to a sink again, for replayPartTime or until there are no more.
func (s *server) replay(w http.ResponseWriter, r *http.Request) error {
	var order api.ReplayRequest
	if err := body(w, r, &order); err != nil {
		return err
	}
	if order.Sink == "" || order.Run == "" {
		return usage(errors.New("a replay requires a sink and the name of its run"))
	}
	if err := s.checkSink(order.Sink); err != nil {
		return err
	}
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	part, err := replayPart(r.Context(), j, &order)
	if err != nil && part.Sent == 0 {
		return err
	}
	part.More = part.More || err != nil // the next part reports the error
	return answer(w, part)
}

func replayPart(ctx context.Context, j *journal.Journal, order *api.ReplayRequest) (part api.ReplayPart, err error) {
	began := time.Now()
	var waiting []pipeline.Record
	var latest time.Time
	flush := func() error {
		n, err := j.Replay(ctx, order.Sink, order.Run, waiting...)
		if n > 0 {
			part.Sent, part.Done, part.Latest = part.Sent+n, waiting[n-1].Seq, latest
		}
		waiting = waiting[:0]
		return err
	}
	filter := order.Filter()
	for e, err := range query.Events(ctx, j, filter) {
		if err != nil {
			return part, err
		}
		if waiting, latest = append(waiting, e.Record), e.Time; len(waiting) < journal.MaxBatch {
			continue
		}
		if err := flush(); err != nil {
			return part, err
		}
		if time.Since(began) > replayPartTime {
			part.More = true
			return part, nil
		}
	}
	if len(waiting) > 0 {
		err = flush()
	}
	return part, err
}
