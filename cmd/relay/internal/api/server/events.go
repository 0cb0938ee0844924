package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

const (
	// heartbeat is how often a stream has a comment, so that whoever is between does not take it for idle, and so that a reader that is gone is
	// noticed.
	heartbeat = 15 * time.Second
	// readerPatience is how long a reader may take to take what it is sent. It is dropped then, and resumes.
	readerPatience = 30 * time.Second
)

// events streams events as they are journaled.
func (s *server) events(w http.ResponseWriter, r *http.Request) error {
	q, err := api.ParseFollowQuery(r.URL.Query(), r.Header.Get("Last-Event-ID"))
	if err != nil {
		return usage(err)
	}
	j, err := s.Journal(r.Context())
	if err != nil {
		return err
	}
	if err := begin(r.Context(), j, &q); err != nil {
		return err
	}
	session, err := sse.Upgrade(w, r)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	st := &stream{session: session, control: http.NewResponseController(w), stop: stop}
	if !st.sendJSON(q.After, api.StreamPosition, api.Position{Number: q.After}) {
		return nil
	}
	var beating sync.WaitGroup
	beating.Go(func() { st.beat(ctx) })
	defer beating.Wait()
	defer stop()
	err = query.Follow(ctx, j, q.FollowConfig, func(e query.Event) error {
		m := &sse.Message{ID: sse.ID(strconv.FormatUint(e.Seq, 10))}
		m.AppendData(string(e.Line))
		st.send(m)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		st.sendJSON(0, api.StreamProblem, s.problem(err))
	}
	return nil
}

// begin finds the number behind which a stream begins.
func begin(ctx context.Context, j *journal.Journal, q *api.FollowQuery) error {
	last, err := j.LastNumber(ctx)
	switch {
	case err != nil:
		return err
	case q.Resume && q.After > last: // another journal, which has begun meanwhile
		q.After = 0
	case q.Resume:
	case q.Since.IsZero():
		q.After = last
	default:
		first, err := j.SeekTime(ctx, q.Since)
		if err != nil {
			return err
		}
		q.After = max(first, 1) - 1
	}
	q.Since = time.Time{}
	return nil
}

// stream is what one reader is sent. It ends when the reader does not take it.
type stream struct {
	mu      sync.Mutex
	session *sse.Session
	control *http.ResponseController
	stop    context.CancelFunc
}

// send sends a message, and reports false, and ends the stream, if the reader does not take it.
func (s *stream) send(m *sse.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.control.SetWriteDeadline(time.Now().Add(readerPatience)) // a transport without deadlines has a reader in this process
	err := s.session.Send(m)
	if err == nil {
		err = s.session.Flush()
	}
	if err != nil {
		s.stop()
	}
	return err == nil
}

func (s *stream) sendJSON(number uint64, typ string, v any) bool {
	data, err := json.Marshal(v)
	if err != nil { // which is hard to get
		s.stop()
		return false
	}
	m := &sse.Message{Type: sse.Type(typ)}
	if typ == api.StreamPosition {
		m.ID = sse.ID(strconv.FormatUint(number, 10))
	}
	m.AppendData(string(data))
	return s.send(m)
}

// beat keeps the stream alive until ctx ends.
func (s *stream) beat(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m := new(sse.Message)
			m.AppendComment("relay")
			s.send(m)
		}
	}
}
