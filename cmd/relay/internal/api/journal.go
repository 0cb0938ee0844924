package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Journal is the journal of the relay that runs on the data folder, over its control socket. It implements [journal.Log] and, by its
// method state, [journal.State].
type Journal struct {
	dir    string
	client *http.Client
	ctx    context.Context //nolint:containedctx // of the requests of methods that have none; ended by Close
	stop   context.CancelFunc

	watcher sync.WaitGroup
	mu      sync.Mutex
	first   uint64
	next    uint64
	changed chan struct{} // nil while nobody waits
}

// OpenJournal reaches the journal of a running relay. The error is an [ErrNoRelay] if none runs, and an [ErrRemoteJournal] if the relay's journal
// is on another server.
func OpenJournal(ctx context.Context, dir string) (*Journal, error) {
	conn, err := Dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	r := &Journal{dir: dir}
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	r.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if first := conn; first != nil {
				conn = nil
				return first, nil
			}
			return Dial(ctx, dir)
		},
		MaxConnsPerHost: 4, MaxIdleConnsPerHost: 4,
	}}
	if err := r.bounds(ctx, 0, false); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// ask sends a request and returns the body of the answer.
func (r *Journal) ask(ctx context.Context, method, path string, body []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://relay"+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	resp, err := r.client.Do(req)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(resp.Body, MaxRequest))
		err = errors.Join(err, resp.Body.Close())
	}
	switch {
	case context.Cause(ctx) != nil:
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, exit.With(exit.Unavailable, fmt.Errorf("ask the relay that runs on %s: it has stopped; try again", r.dir))
	}
	said := strings.TrimSpace(string(text))
	switch resp.StatusCode {
	case http.StatusOK:
		return text, resp.Header, nil
	case http.StatusConflict:
		return nil, nil, ErrRemoteJournal
	case http.StatusNotFound:
		if said == journal.ErrNoKey.Error() || strings.HasSuffix(said, journal.ErrNoKey.Error()) {
			return nil, nil, journal.ErrNoKey
		}
		said = "it does not know the request; restart it with this version"
	case http.StatusPreconditionFailed:
		return nil, nil, journal.ErrRevision
	case http.StatusServiceUnavailable:
		said += "; try again in a moment"
	}
	return nil, nil, exit.With(exit.Unavailable, fmt.Errorf("ask the relay that runs on %s: %s", r.dir, said))
}

// read asks for records, and notes the bounds of the log.
func (r *Journal) read(ctx context.Context, from uint64, limit int, wait bool) ([]journal.Record, error) {
	path := fmt.Sprintf("%s?from=%d&limit=%d", PathLog, from, limit)
	if wait {
		path += "&wait"
	}
	body, header, err := r.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	first, firstErr := strconv.ParseUint(header.Get(HeaderFirst), 10, 64)
	next, nextErr := strconv.ParseUint(header.Get(HeaderNext), 10, 64)
	if err := errors.Join(firstErr, nextErr); err != nil {
		return nil, exit.With(exit.Unavailable, fmt.Errorf("ask the relay that runs on %s: %w; restart it with this version", r.dir, err))
	}
	r.mu.Lock()
	r.first, r.next = first, max(next, r.next)
	r.mu.Unlock()
	return ParseFrames(body)
}

func (r *Journal) bounds(ctx context.Context, from uint64, wait bool) error {
	_, err := r.read(ctx, from, 0, wait)
	return err
}

// Append implements [journal.Log].
func (r *Journal) Append(ctx context.Context, entries []journal.Entry) (numbers []uint64, err error) {
	var body []byte
	for i := range entries {
		body = AppendFrame(body, 0, &entries[i])
	}
	answer, _, err := r.ask(ctx, http.MethodPost, PathLog, body)
	if err == nil {
		err = json.Unmarshal(answer, &numbers)
	}
	if err == nil && len(numbers) != len(entries) {
		err = fmt.Errorf("ask the relay that runs on %s: it answers for %d of %d entries", r.dir, len(numbers), len(entries))
	}
	return numbers, err
}

// Read implements [journal.Log].
func (r *Journal) Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error) {
	return r.read(ctx, from, limit, false)
}

// Bounds implements [journal.Log]. Where the relay does not answer any more they are those that it said last.
func (r *Journal) Bounds() (first, next uint64) {
	ctx, cancel := context.WithTimeout(r.ctx, Timeout)
	defer cancel()
	_ = r.bounds(ctx, 0, false) // the next read will say what is wrong
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, r.next
}

// Changed implements [journal.Log]. The channel is also closed when the relay does not answer any more, which the next read reports.
func (r *Journal) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		return r.changed
	}
	changed, from := make(chan struct{}), r.next
	r.changed = changed
	r.watcher.Go(func() {
		for r.ctx.Err() == nil {
			err := r.bounds(r.ctx, from, true)
			r.mu.Lock()
			done := err != nil || r.next > from
			if done {
				r.changed = nil
			}
			r.mu.Unlock()
			if done {
				break
			}
		}
		close(changed)
	})
	return changed
}

// DropBefore implements [journal.Log]: the relay drops what is old by itself.
func (r *Journal) DropBefore(context.Context, time.Time) error { return nil }

// Gaps implements [journal.Log].
func (r *Journal) Gaps(ctx context.Context) (gaps []journal.Span, err error) {
	answer, _, err := r.ask(ctx, http.MethodGet, PathGaps, nil)
	if err == nil {
		err = json.Unmarshal(answer, &gaps)
	}
	return gaps, err
}

// Reserve implements [journal.Log]: the relay that runs has done so.
func (r *Journal) Reserve(context.Context, uint64) error { return nil }

// Size implements [journal.Log]. The relay's status has it.
func (r *Journal) Size() int64 { return 0 }

// Close implements [journal.Log].
func (r *Journal) Close() error {
	r.stop()
	r.watcher.Wait()
	r.client.CloseIdleConnections()
	return nil
}

// State is the state beside the log.
func (r *Journal) State() journal.State { return remoteState{r} }

type remoteState struct{ *Journal }

func stateURL(key string) string { return PathState + "/" + url.PathEscape(key) }

// Get implements [journal.State].
func (s remoteState) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	value, header, err := s.ask(ctx, http.MethodGet, stateURL(key), nil)
	if err == nil {
		revision, err = strconv.ParseUint(header.Get(HeaderRevision), 10, 64)
	}
	return value, revision, err
}

// Put implements [journal.State].
func (s remoteState) Put(ctx context.Context, key string, value []byte, expected uint64) (revision uint64, err error) {
	_, header, err := s.ask(ctx, http.MethodPut, stateURL(key)+"?expected="+strconv.FormatUint(expected, 10), value)
	if err == nil {
		revision, err = strconv.ParseUint(header.Get(HeaderRevision), 10, 64)
	}
	return revision, err
}

// Delete implements [journal.State].
func (s remoteState) Delete(ctx context.Context, key string) error {
	_, _, err := s.ask(ctx, http.MethodDelete, stateURL(key), nil)
	return err
}

// List implements [journal.State].
func (s remoteState) List(ctx context.Context, prefix string, visit func(key string, value []byte) error) error {
	answer, _, err := s.ask(ctx, http.MethodGet, PathState+"?prefix="+url.QueryEscape(prefix), nil)
	if err != nil {
		return err
	}
	var items []StateItem
	if err := json.Unmarshal(answer, &items); err != nil {
		return err
	}
	for _, item := range items {
		if err := visit(item.Key, item.Value); err != nil {
			return err
		}
	}
	return nil
}

var errNoWatch = errors.New("a command does not watch the state of a relay that runs")

// Watch implements [journal.State]: no command does so.
func (s remoteState) Watch(context.Context, string, func([]byte, uint64)) error { return errNoWatch }
