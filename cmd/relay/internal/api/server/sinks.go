package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

func (s *server) sinks(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	names, types := s.Sinks()
	all, err := query.Sinks(r.Context(), j, names)
	if err != nil {
		return err
	}
	list := make([]api.Sink, len(all))
	for i := range all {
		list[i] = api.SinkOf(&all[i], types[all[i].Sink])
	}
	return answer(w, list)
}

func (s *server) enableSink(w http.ResponseWriter, r *http.Request) error {
	var change api.SinkChange
	return s.changeSink(w, r, &change, func(state *journal.SinkState) {
		change.DisabledSince = state.DisabledSince
		if change.Changed = !state.DisabledSince.IsZero(); !change.Changed {
			return
		}
		state.DisabledSince = time.Time{}
		if state.DownSince.IsZero() {
			state.Reason = ""
		}
	})
}

func (s *server) disableSink(w http.ResponseWriter, r *http.Request) error {
	var order api.DisableRequest
	if err := body(w, r, &order); err != nil {
		return err
	}
	var change api.SinkChange
	return s.changeSink(w, r, &change, func(state *journal.SinkState) {
		if change.Changed = state.DisabledSince.IsZero(); change.Changed {
			state.DisabledSince, state.Reason = time.Now().UTC(), order.Reason
		}
		change.DisabledSince = state.DisabledSince
	})
}

// changeSink applies a change to the state of a sink that is configured or has a cursor in the journal.
func (s *server) changeSink(w http.ResponseWriter, r *http.Request, change *api.SinkChange, apply func(*journal.SinkState)) error {
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	names, _ := s.Sinks()
	all, err := query.Sinks(r.Context(), j, names)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if !slices.ContainsFunc(all, func(s query.SinkStatus) bool { return s.Sink == name }) {
		var known []string
		for i := range all {
			known = append(known, all[i].Sink)
		}
		return api.NewProblem(http.StatusNotFound, api.ProblemUnknownSink, fmt.Sprintf("no sink %q; there are [%s]", name, strings.Join(known, ", "))).
			WithCode(exit.Usage)
	}
	if _, err := j.UpdateSink(r.Context(), name, apply); err != nil {
		return err
	}
	return answer(w, change)
}

// checkSink returns the problem of a sink that the configuration does not have: no event would ever reach it. An empty name stands for all sinks.
func (s *server) checkSink(name string) error {
	names, _ := s.Sinks()
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return api.NewProblem(http.StatusNotFound, api.ProblemUnknownSink, fmt.Sprintf("no sink %.80q; there are [%s]", name, strings.Join(names, ", "))).
		WithCode(exit.Usage)
}
