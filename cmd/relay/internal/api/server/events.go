package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

const (
	// heartbeat is the interval of comments in a stream. They keep proxies from closing it as idle, and detect readers that are gone.
	heartbeat = 15 * time.Second
	// readerPatience is how long a write to a reader may take. A slower reader is disconnected, and can resume.
	readerPatience = 30 * time.Second
)

// errLarge means that the next event is large.
var errLarge = errors.New("the event is large")

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
	if err := s.checkAccounts(q.Accounts); err != nil {
		return err
	}
	position, err := begin(r.Context(), j, &q)
	if err != nil {
		return err
	}
	q.After, q.Since = position.Number, time.Time{}
	session, err := sse.Upgrade(w, r)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	st := &stream{to: w, session: session, control: http.NewResponseController(w), stop: stop}
	if !st.sendJSON(position.Number, api.StreamPosition, position) {
		return nil
	}
	var beating sync.WaitGroup
	beating.Go(func() { st.beat(ctx) })
	defer beating.Wait()
	defer stop()
	if err := s.sendEvents(ctx, st, j, q.FollowConfig); err != nil && ctx.Err() == nil {
		st.sendJSON(0, api.StreamProblem, s.problem(err))
	}
	return nil
}

// sendEvents sends events until ctx ends.
func (s *server) sendEvents(ctx context.Context, st *stream, j *journal.Journal, from query.FollowConfig) error {
	turn := false
	defer s.turns.done(st)
	for {
		err := query.Follow(ctx, j, from, func(e query.Event) error {
			if len(e.Line) >= largeEvent && !turn {
				return errLarge
			}
			from.After = e.Seq
			st.sendEvent(&e)
			s.turns.done(st)
			turn = false
			return nil
		})
		if !errors.Is(err, errLarge) {
			return err
		}
		if err := s.turns.take(ctx, st); err != nil {
			return err
		}
		turn = true
	}
}

// checkAccounts returns the problem of a stream of an account that a running relay does not have: it would wait for ever.
func (s *server) checkAccounts(wanted []string) error {
	if s.Status == nil || s.Accounts == nil {
		return nil
	}
	known := s.Accounts()
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return api.NewProblem(http.StatusNotFound, api.ProblemNoAccount, fmt.Sprintf("there is no account %.80q; there are [%s]", name, strings.Join(known, ", "))).
				WithCode(exit.Usage)
		}
	}
	return nil
}

// begin returns where a stream begins.
func begin(ctx context.Context, j *journal.Journal, q *api.FollowQuery) (at api.Position, err error) {
	first, next := j.Bounds()
	oldest, last := max(first, 1)-1, max(next, 1)-1
	switch {
	case q.Resume && q.After > last:
		return api.Position{Number: last, Ahead: true}, nil
	case q.Resume && q.After < oldest:
		return api.Position{Number: oldest, Missed: oldest - q.After}, nil
	case q.Resume:
		return api.Position{Number: q.After}, nil
	case q.Since.IsZero():
		return api.Position{Number: last}, nil
	}
	if first, err = j.SeekTime(ctx, q.Since); err != nil {
		return at, err
	}
	return api.Position{Number: max(first, 1) - 1}, nil
}

// stream writes to one reader. It ends when the reader is gone or too slow.
type stream struct {
	mu      sync.Mutex
	to      io.Writer // under the session
	session *sse.Session
	control *http.ResponseController
	stop    context.CancelFunc
}

// send sends a message. If that fails, it ends the stream and returns false.
func (s *stream) send(m *sse.Message) bool {
	return s.write(func() error { return s.session.Send(m) })
}

// drop ends the stream, also if a write is under way.
func (s *stream) drop() {
	s.stop()
	_ = s.control.SetWriteDeadline(time.Now()) // a transport without deadlines is in this process
}

// sendEvent sends an event. Its line, which has no line break, is not copied.
func (s *stream) sendEvent(e *query.Event) bool {
	return s.write(func() error {
		for _, part := range [][]byte{[]byte("id: " + strconv.FormatUint(e.Seq, 10) + "\ndata: "), e.Line, []byte("\n\n")} {
			if _, err := s.to.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *stream) write(send func() error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.control.SetWriteDeadline(time.Now().Add(readerPatience)) // a transport without deadlines is in this process
	err := send()
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
	if err != nil { // cannot happen for the types of the API
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
