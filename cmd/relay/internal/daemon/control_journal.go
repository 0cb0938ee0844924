package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// longPoll is how long a request waits for the journal to go on.
const longPoll = 20 * time.Second

// routeJournal adds the journal to what the control socket serves.
func (c *control) routeJournal(mux *http.ServeMux) {
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request, *journal.Journal) error{
		"GET " + api.PathLog: serveRead, "POST " + api.PathLog: serveAppend, "GET " + api.PathGaps: serveGaps,
		"POST " + api.PathReplay: serveReplay,
		"GET " + api.PathState:   serveList, "GET " + api.PathState + "/{key}": serveGet,
		"PUT " + api.PathState + "/{key}": servePut, "DELETE " + api.PathState + "/{key}": serveDelete,
	} {
		mux.HandleFunc(pattern, c.withJournal(serve))
	}
}

// withJournal waits for the journal of a relay that is starting. Where the journal is on another server the answer is 409.
func (c *control) withJournal(serve func(http.ResponseWriter, *http.Request, *journal.Journal) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.remote {
			http.Error(w, "the journal is on another server (journal.nats_url)", http.StatusConflict)
			return
		}
		select {
		case <-c.job.monitor.opened:
		case <-time.After(openPatience):
			http.Error(w, "relay is starting", http.StatusServiceUnavailable)
			return
		case <-r.Context().Done():
			return
		}
		err := serve(w, r, c.job.journal)
		switch {
		case err == nil:
		case errors.Is(err, journal.ErrNoKey):
			http.Error(w, err.Error(), http.StatusNotFound)
		case errors.Is(err, journal.ErrRevision):
			http.Error(w, err.Error(), http.StatusPreconditionFailed)
		case errors.Is(err, api.ErrBadEntries):
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			http.Error(w, text.Line(err.Error()), http.StatusInternalServerError)
		}
	}
}

// queryNumber reads a parameter of the query, 0 if it is not there.
func queryNumber(r *http.Request, key string) uint64 {
	n, _ := strconv.ParseUint(r.URL.Query().Get(key), 10, 64) // 0 is what it is for anything else
	return n
}

// serveRead answers with records from a number on. With wait it waits for the first one.
func serveRead(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	from, limit := queryNumber(r, "from"), min(queryNumber(r, "limit"), 4096)
	if r.URL.Query().Has("wait") {
		waitFor(r.Context(), j, from)
	}
	first, next := j.Bounds()
	var records []journal.Record
	if limit > 0 && from < next {
		var err error
		if records, err = j.Read(r.Context(), from, int(limit)); err != nil {
			return err
		}
	}
	var body []byte
	for i := range records {
		body = api.AppendFrame(body, records[i].Number, &records[i].Entry)
	}
	w.Header().Set(api.HeaderFirst, strconv.FormatUint(first, 10))
	w.Header().Set(api.HeaderNext, strconv.FormatUint(next, 10))
	w.Header().Set("Content-Type", api.MediaEntries)
	_, _ = w.Write(body) //nolint:gosec // whoever asked may have left; no browser speaks on this socket
	return nil
}

// waitFor returns when the journal has given the number, and after longPoll in any case.
func waitFor(ctx context.Context, j *journal.Journal, from uint64) {
	limit := time.NewTimer(longPoll)
	defer limit.Stop()
	for {
		changed := j.Changed()
		if _, next := j.Bounds(); next > from {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func serveAppend(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxRequest))
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrBadEntries, err)
	}
	records, err := api.ParseFrames(body)
	if err != nil {
		return err
	}
	entries := make([]journal.Entry, len(records))
	for i := range records {
		entries[i] = records[i].Entry
		entries[i].Time = time.Time{} // relay's clock decides
	}
	numbers, err := j.Put(r.Context(), entries...)
	if err != nil {
		return err
	}
	return answerJSON(w, numbers)
}

func serveGaps(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	gaps, err := j.Gaps(r.Context())
	if err != nil {
		return err
	}
	return answerJSON(w, gaps)
}

func answerJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have left
	return nil
}

func serveList(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	items := []api.StateItem{}
	err := j.ListState(r.Context(), r.URL.Query().Get("prefix"), func(key string, value []byte) error {
		items = append(items, api.StateItem{Key: key, Value: bytes.Clone(value)})
		return nil
	})
	if err != nil {
		return err
	}
	return answerJSON(w, items)
}

func serveGet(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	value, revision, err := j.GetState(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	w.Header().Set(api.HeaderRevision, strconv.FormatUint(revision, 10))
	_, _ = w.Write(value) //nolint:gosec // whoever asked may have left; no browser speaks on this socket
	return nil
}

func servePut(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxRequest))
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrBadEntries, err)
	}
	revision, err := j.State().Put(r.Context(), r.PathValue("key"), value, queryNumber(r, "expected"))
	if err != nil {
		return err
	}
	w.Header().Set(api.HeaderRevision, strconv.FormatUint(revision, 10))
	return nil
}

func serveDelete(_ http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	return j.State().Delete(r.Context(), r.PathValue("key"))
}
