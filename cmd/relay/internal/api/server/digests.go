package server

import (
	"fmt"
	"net/http"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/pipeline/delivery/digests"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

func (s *server) digestHandlers() map[string]handler {
	return map[string]handler{
		"GET /digests":             s.digests,
		"GET /digests/{id}":        s.digest,
		"GET /digests/{id}/treats": s.digestTreats,
	}
}

// reader returns a reader of the digests of the configured sinks.
func (s *server) reader(r *http.Request) (*digests.Reader, error) {
	j, err := s.Journal(r.Context())
	if err != nil {
		return nil, err
	}
	return digests.Open(r.Context(), j, s.Selections())
}

func (s *server) digests(w http.ResponseWriter, r *http.Request) error {
	filter, err := api.ParseDigestFilter(r.URL.Query())
	if err != nil {
		return usage(err)
	}
	reader, err := s.reader(r)
	if err != nil {
		return err
	}
	all, err := reader.List(r.Context(), filter)
	if err != nil {
		return err
	}
	out := s.lines(w)
	for i := range all {
		if err := out.put(api.DigestOf(&all[i])); err != nil {
			return out.end(err)
		}
	}
	return out.end(nil)
}

func (s *server) digest(w http.ResponseWriter, r *http.Request) error {
	reader, err := s.reader(r)
	if err != nil {
		return err
	}
	d, err := reader.Find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, api.DigestOf(&d))
}

func (s *server) digestTreats(w http.ResponseWriter, r *http.Request) error {
	reader, err := s.reader(r)
	if err != nil {
		return err
	}
	return putAll(s.lines(w), reader.Treats(r.Context(), r.PathValue("id")), 0, func(one *journal.Record) (any, error) {
		at, err := journal.EventTime(one.Data)
		if err != nil {
			return nil, fmt.Errorf("decode journaled event %s: %w", one.ID, err)
		}
		return api.EventOf(&query.Event{Record: one.Delivery(), Time: at, Journaled: one.Time}), nil
	})
}
