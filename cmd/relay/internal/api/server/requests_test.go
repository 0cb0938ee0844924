package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
)

// What only a relay that runs can do is refused without one, with what to do.
func TestRunning(t *testing.T) {
	eachWay(t, true, func(r *rig) {
		if s, err := r.client.Status(r.Context()); err != nil || s.Version != "v1" {
			r.Errorf("%+v, %v", s, err)
		}
		if got, err := r.client.Reconcile(r.Context(), "my stream/x"); err != nil || got.Account != "my stream/x" || got.Held != 3 {
			r.Errorf("%+v, %v", got, err)
		}
	})
	eachWay(t, false, func(r *rig) {
		if _, err := r.client.Status(r.Context()); !api.Is(err, api.ProblemNotRunning) || !strings.Contains(err.Error(), "start it") {
			r.Errorf("error %v", err)
		}
		if o, err := r.client.Journal(r.Context()); err != nil || o.Last != 0 || o.Newest != nil {
			r.Errorf("%+v, %v", o, err)
		}
		r.put("a", 0, 3)
		if o, err := r.client.Journal(r.Context()); err != nil || o.Last != 3 || o.Newest.Number != 3 || title(r.T, o.Newest) != "t000002" {
			r.Errorf("%+v, %v", o, err)
		}
	})
}

// A request that is wrong says what is wrong, and a misspelled filter does not choose everything.
func TestWrongRequests(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		if r.url == "" {
			return
		}
		for _, tt := range []struct {
			method, path string
			status       int
		}{
			{"GET", "/history?acount=a", http.StatusBadRequest},
			{"GET", "/history?since=yesterday", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sinks=bot", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sink=bot&reason=no-such%", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sink=bot&reason=a;b", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sink=bot&reason=a&reason=b", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sink=bot&reason=", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sink=bot&since=", http.StatusBadRequest},
			{"POST", "/deadletters/purge?sink=bot&all=yes", http.StatusBadRequest},
			{"POST", "/deadletters/redrive?sink=bot&id=%zz", http.StatusBadRequest},
			{"GET", "/history?limit=%", http.StatusBadRequest},
			{"GET", "/events?type=a;b", http.StatusBadRequest},
			{"GET", "/events?text=pizza", http.StatusBadRequest},
			{"GET", "/attempts?digests=1", http.StatusBadRequest},
			{"GET", "/sinks?name=bot", http.StatusBadRequest},
			{"POST", "/sinks/bot/enable?%", http.StatusBadRequest},
			{"POST", "/deadletters/purge", http.StatusBadRequest},
			{"GET", "/attempts?outcome=good", http.StatusBadRequest},
			{"GET", "/deadletters/x", http.StatusBadRequest},
			{"POST", "/replay", http.StatusBadRequest},
			{"POST", "/tests", http.StatusBadRequest},
			{"GET", "/nothing", http.StatusNotFound},
			{"DELETE", "/sinks", http.StatusNotFound},
		} {
			req, err := http.NewRequestWithContext(r.Context(), tt.method, r.url+api.Root+tt.path, strings.NewReader("{"))
			r.must(err)
			resp, err := http.DefaultClient.Do(req)
			r.must(err)
			if typ := resp.Header.Get("Content-Type"); resp.StatusCode != tt.status || typ != problem.MediaType {
				r.Errorf("%s %s: %d, %s", tt.method, tt.path, resp.StatusCode, typ)
			}
			r.must(resp.Body.Close())
		}
	})
}

// An answer that is cut off is no whole one.
func TestAnswerCutOff(t *testing.T) {
	cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.MediaLines)
		_, _ = fmt.Fprintln(w, `{"number":1,"event":{}}`)
	})
	direct := api.NewDirect(cut)
	defer direct.Close()
	n := 0
	var last error
	for _, err := range api.New(direct, "data").History(t.Context(), &api.EventQuery{}) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 1 || !errors.Is(last, api.ErrLost) {
		t.Errorf("%d events, error %v", n, last)
	}
}

// Nothing is journaled as a test that no relay would have made.
func TestWrongTests(t *testing.T) {
	eachWay(t, true, func(r *rig) {
		for what, change := range map[string]func(*pipeline.Event){
			"no test":           func(e *pipeline.Event) { e.Origin = pipeline.OriginLive },
			"the ID of a treat": func(e *pipeline.Event) { e.ID = pipeline.TreatIDPrefix + "1" },
			"an ID with marks":  func(e *pipeline.Event) { e.ID = intake.TestIDPrefix + "1<b>" },
			"an ID with dots":   func(e *pipeline.Event) { e.ID = intake.TestIDPrefix + "../x" },
			"only a prefix":     func(e *pipeline.Event) { e.ID = intake.TestIDPrefix },
			"a long ID":         func(e *pipeline.Event) { e.ID = intake.TestIDPrefix + strings.Repeat("x", 101) },
			"the year 9999":     func(e *pipeline.Event) { e.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		} {
			e := stacktest.Event("a", pipeline.OriginTest, evening, 3)
			e.ID = intake.TestIDPrefix + "1"
			change(&e)
			line, err := json.Marshal(&e)
			r.must(err)
			if err := r.client.PutTest(r.Context(), &api.TestRequest{Event: line}); !api.Is(err, api.ProblemUsage) {
				r.Errorf("%s: error %v", what, err)
			}
		}
		if o, err := r.client.Journal(r.Context()); err == nil && o.Last != 0 {
			r.Errorf("the journal has %+v", o)
		}
	})
}

// What is for a sink that is not configured would reach nobody.
func TestEventsForAnUnknownSink(t *testing.T) {
	eachWay(t, true, func(r *rig) {
		r.put("a", 0, 3)
		if _, err := r.client.Replay(r.Context(), &api.ReplayRequest{Sink: "typo", Run: "x"}); !api.Is(err, api.ProblemUnknownSink) {
			r.Errorf("replay: %v", err)
		}
		e := stacktest.Event("a", pipeline.OriginTest, evening, 3)
		e.ID = intake.TestIDPrefix + "1"
		line, err := json.Marshal(&e)
		r.must(err)
		if err := r.client.PutTest(r.Context(), &api.TestRequest{Sink: "typo", Event: line}); !api.Is(err, api.ProblemUnknownSink) {
			r.Errorf("test: %v", err)
		}
		if o, err := r.client.Journal(r.Context()); err != nil || o.Last != 3 {
			r.Errorf("the journal has %+v, %v", o, err)
		}
	})
}
