package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// What commands read and write of the journal goes over the control socket as it is in the engine: a record is its length in 4 bytes, its
// number in 8, little-endian, and its binary form (journal.AppendEntry). An entry to append has no number.
const (
	pathLog   = "/v1/log"
	pathGaps  = "/v1/log/gaps"
	pathState = "/v1/state"

	headerFirst    = "Relay-First" // the bounds of the log
	headerNext     = "Relay-Next"
	headerRevision = "Relay-Revision" // of a value of the state

	mediaEntries = "application/octet-stream"
)

// The bounds of one request.
const (
	maxRequest = 64 << 20
	longPoll   = 20 * time.Second
)

var errBadEntries = errors.New("these are not entries of the journal")

// appendFrame appends an entry, and its number if it has one, in the form in which they go over the control socket.
func appendFrame(b []byte, number uint64, e *journal.Entry) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = journal.AppendEntry(b, e)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // bounded by the size of an entry
	return b
}

// parseFrames reads what [appendFrame] has written.
func parseFrames(b []byte) (records []journal.Record, err error) {
	for len(b) > 0 {
		if len(b) < 12 {
			return nil, errBadEntries
		}
		size := int(binary.LittleEndian.Uint32(b))
		if size < 8 || size > len(b)-4 {
			return nil, errBadEntries
		}
		r := journal.Record{Number: binary.LittleEndian.Uint64(b[4:])}
		if r.Entry, err = journal.ParseEntry(b[12 : 4+size : 4+size]); err != nil {
			return nil, errors.Join(errBadEntries, err)
		}
		records, b = append(records, r), b[4+size:]
	}
	return records, nil
}

// routeJournal adds the journal to what the control socket serves.
func (c *control) routeJournal(mux *http.ServeMux) {
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request, *journal.Journal) error{
		"GET " + pathLog: serveRead, "POST " + pathLog: serveAppend, "GET " + pathGaps: serveGaps,
		"POST " + pathReplay: serveReplay,
		"GET " + pathState:   serveList, "GET " + pathState + "/{key}": serveGet,
		"PUT " + pathState + "/{key}": servePut, "DELETE " + pathState + "/{key}": serveDelete,
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
		case errors.Is(err, errBadEntries):
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
		body = appendFrame(body, records[i].Number, &records[i].Entry)
	}
	w.Header().Set(headerFirst, strconv.FormatUint(first, 10))
	w.Header().Set(headerNext, strconv.FormatUint(next, 10))
	w.Header().Set("Content-Type", mediaEntries)
	_, _ = w.Write(body) // whoever asked may have left
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
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return fmt.Errorf("%w: %w", errBadEntries, err)
	}
	records, err := parseFrames(body)
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

// stateItem is a key of the state with its value.
type stateItem struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

func serveList(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	items := []stateItem{}
	err := j.ListState(r.Context(), r.URL.Query().Get("prefix"), func(key string, value []byte) error {
		items = append(items, stateItem{key, bytes.Clone(value)})
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
	w.Header().Set(headerRevision, strconv.FormatUint(revision, 10))
	_, _ = w.Write(value) // whoever asked may have left
	return nil
}

func servePut(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return fmt.Errorf("%w: %w", errBadEntries, err)
	}
	revision, err := j.State().Put(r.Context(), r.PathValue("key"), value, queryNumber(r, "expected"))
	if err != nil {
		return err
	}
	w.Header().Set(headerRevision, strconv.FormatUint(revision, 10))
	return nil
}

func serveDelete(_ http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	return j.State().Delete(r.Context(), r.PathValue("key"))
}
