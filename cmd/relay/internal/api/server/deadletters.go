package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
)

func (s *server) deadLetters(w http.ResponseWriter, r *http.Request) error {
	q, j, err := s.letterQuery(r)
	if err != nil {
		return err
	}
	return putAll(s.lines(w), j.DeadLetters(r.Context(), q.DeadLetterFilter), q.Limit, func(d journal.DeadLetter) (any, error) { return d, nil })
}

func (s *server) letterQuery(r *http.Request) (q api.LetterQuery, j *journal.Journal, err error) {
	if q, err = api.ParseLetterQuery(r.URL.Query()); err != nil {
		return q, nil, usage(err)
	}
	j, err = s.Journal(r.Context())
	return q, j, err
}

func (s *server) deadLetter(w http.ResponseWriter, r *http.Request) error {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 63)
	if err != nil {
		return usage(fmt.Errorf("dead letter %q: want its number", r.PathValue("number")))
	}
	ctx := r.Context()
	j, err := s.Journal(ctx)
	if err != nil {
		return err
	}
	for d, err := range j.DeadLetters(ctx, journal.DeadLetterFilter{Numbers: []uint64{number}}) {
		if err != nil {
			return err
		}
		event, err := j.DeadEvent(ctx, d)
		switch {
		case err == nil:
			d.Event, d.Account, d.Provider, d.Origin, d.Type = event.Line, event.Account, event.Provider, event.Origin, event.Type
		case !errors.Is(err, journal.ErrEventGone):
			return err
		}
		return answer(w, d)
	}
	return api.NewProblem(http.StatusNotFound, api.ProblemNoLetter, fmt.Sprintf("no dead letter %d", number)).WithFix(advice.Fix{Before: "to see which there are, run: ", Command: "relay deadletters list"})
}

func (s *server) redrive(w http.ResponseWriter, r *http.Request) error {
	names, _ := s.Sinks()
	return s.eachLetter(w, r, func(j *journal.Journal, ctx context.Context, d journal.DeadLetter) error {
		if !slices.Contains(names, d.Sink) {
			return errNoSink
		}
		return j.Redrive(ctx, d)
	})
}

// errNoSink means that a dead letter is of a sink that relay does not run with: nothing would deliver it.
var errNoSink = errors.New("relay has no such sink")

func (s *server) purge(w http.ResponseWriter, r *http.Request) error {
	return s.eachLetter(w, r, (*journal.Journal).DeleteDeadLetter)
}

// eachLetter calls do for each dead letter that a query selects, and answers with a line for each.
func (s *server) eachLetter(w http.ResponseWriter, r *http.Request, do func(*journal.Journal, context.Context, journal.DeadLetter) error) error {
	q, j, err := s.letterQuery(r)
	if err != nil {
		return err
	}
	if q.HasFilter() == q.All {
		return usage(errors.New("want either all=true or a filter such as sink or id"))
	}
	ctx := r.Context()
	return putAll(s.lines(w), j.DeadLetters(ctx, q.DeadLetterFilter), q.Limit, func(d journal.DeadLetter) (any, error) {
		result := api.LetterResult{Letter: d}
		err := do(j, ctx, d)
		remove := advice.Fix{Before: "it is kept; to delete it, run: ", Command: fmt.Sprintf("relay deadletters purge --id %d", d.Number)}
		switch {
		case errors.Is(err, journal.ErrEventGone):
			result.Kept, err = s.problem(err).WithFix(remove), nil
		case errors.Is(err, errNoSink):
			remove.Before = "add the sink to the configuration; or, to delete the dead letter, run: "
			result.Kept = api.NewProblem(http.StatusConflict, api.ProblemUnknownSink, fmt.Sprintf("dead letter %d is of the sink %q, with which relay does not run", d.Number, d.Sink)).
				WithFix(remove).WithCode(exit.Config)
			err = nil
		}
		return result, err
	})
}
