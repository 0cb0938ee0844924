package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// lines writes an answer with one JSON object per line, as they come, and an [api.LastLine] at the end.
type lines struct {
	server *server
	to     http.ResponseWriter
	buffer *bufio.Writer
	enc    *json.Encoder
	sent   time.Time // when the buffer was last sent
	n      int
}

// sendEvery is how long a line waits at most, so that it is sent together with the lines that follow.
const sendEvery = 50 * time.Millisecond

func (s *server) lines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", api.MediaLines)
	w.Header().Set("Cache-Control", "no-store")
	l := &lines{server: s, to: w, buffer: bufio.NewWriterSize(w, 64<<10)}
	l.enc = json.NewEncoder(l.buffer)
	l.enc.SetEscapeHTML(false)
	return l
}

// put writes a line. Its error is an errLeft.
func (l *lines) put(v any) error {
	if err := l.enc.Encode(v); err != nil {
		return errors.Join(errLeft, err)
	}
	if l.n++; time.Since(l.sent) > sendEvery {
		return l.send()
	}
	return nil
}

func (l *lines) send() error {
	l.sent = time.Now()
	err := errors.Join(l.buffer.Flush(), http.NewResponseController(l.to).Flush())
	if err != nil {
		return errors.Join(errLeft, err)
	}
	return nil
}

// end writes the last line, with err if that is not nil. It returns err if nothing was written yet: then the problem is the answer.
func (l *lines) end(err error) error {
	switch {
	case errors.Is(err, errLeft):
		return nil
	case err != nil && l.n == 0:
		return err
	case err != nil:
		_ = l.enc.Encode(api.LastLine{Problem: l.server.problem(err)}) // the client may have left
	default:
		_ = l.enc.Encode(api.LastLine{End: true}) // likewise
	}
	_ = l.send() // likewise
	return nil
}

// putAll writes a line for each element of all, at most limit unless that is 0, and ends the answer.
func putAll[T any](out *lines, all iter.Seq2[T, error], limit int, line func(T) (any, error)) error {
	for one, err := range all {
		var v any
		if err == nil {
			v, err = line(one)
		}
		if err == nil {
			err = out.put(v)
		}
		if err != nil {
			return out.end(err)
		}
		if out.n == limit {
			break
		}
	}
	return out.end(nil)
}

// errLeft means that the client has closed the connection.
var errLeft = errors.New("the client has left")

func (s *server) history(w http.ResponseWriter, r *http.Request) error {
	q, err := api.ParseEventQuery(r.URL.Query())
	if err != nil {
		return usage(err)
	}
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	events := query.Events(r.Context(), j, q.EventFilter)
	if q.Newest > 0 {
		events = query.NewestEvents(r.Context(), j, q.EventFilter, q.Newest)
	}
	return putAll(s.lines(w), events, q.Limit, func(e query.Event) (any, error) { return api.EventOf(&e), nil })
}

func (s *server) attempts(w http.ResponseWriter, r *http.Request) error {
	q, err := api.ParseAttemptQuery(r.URL.Query())
	if err != nil {
		return usage(err)
	}
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	all := j.Attempts().Select(r.Context(), q.AttemptFilter, q.Newest)
	return putAll(s.lines(w), all, 0, func(a journal.NumberedAttempt) (any, error) { return api.AttemptOf(&a, q.IDs), nil })
}

func (s *server) state(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	out := s.lines(w)
	return out.end(j.ListState(r.Context(), "", func(key string, value []byte) error {
		return out.put(api.StateItem{Key: key, Value: bytes.Clone(value)})
	}))
}
