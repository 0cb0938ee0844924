package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxWaiting bounds the frames that wait for a client to poll. A client that falls further behind is cut.
const maxWaiting = 10_000

// servePolling serves long-polling of Engine.IO 3, which the provider's sample program starts with.
func (h *hub) servePolling(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	if origin := r.Header.Get("Origin"); origin != "" { // overlays are pages of any origin; the token authorizes them
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Allow-Credentials", "true")
		header.Set("Vary", "Origin")
	}
	q := r.URL.Query()
	id := q.Get("sid")
	s := h.find(id)
	var inbox *mailbox
	if s != nil {
		inbox, _ = s.transport.(*mailbox)
	}
	switch {
	case r.Method == http.MethodOptions:
		header.Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusNoContent)
	case id == "" && r.Method == http.MethodGet:
		h.openPolling(w, r, q.Get("token"))
	case inbox == nil:
		refuseTransport(w, 1, "Session ID unknown")
	case r.Method == http.MethodGet:
		inbox.poll(w, r)
	case r.Method == http.MethodPost:
		s.post(r.Context(), w, r, inbox)
	default:
		refuseTransport(w, 2, "Bad handshake method")
	}
}

func (h *hub) openPolling(w http.ResponseWriter, r *http.Request, token string) {
	inbox := &mailbox{silence: h.interval + h.timeout, ready: make(chan struct{}, 1), gone: make(chan struct{})}
	s, err := h.open(r.Context(), inbox, 3, token)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	inbox.watch(func() { s.end(errSilent) })
	inbox.poll(w, r)
}

// post handles a request with packets of a client.
func (s *session) post(ctx context.Context, w http.ResponseWriter, r *http.Request, inbox *mailbox) {
	inbox.heard()
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = splitPayload(string(body), func(packet string) error { return s.receive(ctx, packet, "") })
	}
	if err != nil {
		s.end(err)
	}
	if err != nil && !errors.Is(err, errLeft) {
		refuseTransport(w, 3, "Bad request")
		return
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "ok") // as in reply
}

// mailbox is a transport over polling. Frames wait in it until the client polls.
type mailbox struct {
	silence time.Duration
	ready   chan struct{} // signals that frames wait
	gone    chan struct{} // closed by cut
	polled  atomic.Bool   // a request is waiting

	mu     sync.Mutex
	over   bool
	frames []string
	timer  *time.Timer
}

func (m *mailbox) send(_ context.Context, frame string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over || len(m.frames) == maxWaiting {
		return errStuck
	}
	m.frames = append(m.frames, frame)
	select {
	case m.ready <- struct{}{}:
	default:
	}
	return nil
}

func (m *mailbox) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return
	}
	m.over = true
	close(m.gone)
	if m.timer != nil {
		m.timer.Stop()
	}
}

// watch calls end once the client has been silent for too long.
func (m *mailbox) watch(end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		m.timer = time.AfterFunc(m.silence, end)
	}
}

// heard records that the client sent something.
func (m *mailbox) heard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over && m.timer != nil {
		m.timer.Reset(m.silence)
	}
}

// poll answers with the waiting frames. If there are none, it waits for some.
func (m *mailbox) poll(w http.ResponseWriter, r *http.Request) {
	if m.polled.Swap(true) {
		refuseTransport(w, 3, "Bad request")
		return
	}
	defer m.polled.Store(false)
	for {
		frames := m.take()
		if len(frames) > 0 {
			w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
			_, _ = io.WriteString(w, joinPayload(frames)) // as in reply
			return
		}
		select {
		case <-m.ready:
		case <-m.gone:
			panic(http.ErrAbortHandler) // cuts the connection without an answer
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

func (m *mailbox) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	frames := m.frames
	m.frames = nil
	return frames
}

// joinPayload encodes packets as length:packet. Client 1.x expects non-ASCII text to be encoded as UTF-8 once more than
// client 2.x does. Since every packet here is ASCII or has its text in JSON strings, JSON's escapes suit both.
func joinPayload(packets []string) string {
	var b strings.Builder
	for _, packet := range packets {
		packet = escapeNonASCII(packet)
		b.WriteString(strconv.Itoa(len(packet)))
		b.WriteByte(':')
		b.WriteString(packet)
	}
	return b.String()
}

func escapeNonASCII(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// splitPayload decodes length:packet, where the length counts units of UTF-16, and calls packet with each one.
func splitPayload(payload string, packet func(string) error) error {
	units := utf16.Encode([]rune(payload))
	for len(units) > 0 {
		size := 0
		digits := 0
		for digits < len(units) && units[digits] >= '0' && units[digits] <= '9' && size <= maxBody {
			size = size*10 + int(units[digits]-'0')
			digits++
		}
		if digits == 0 || digits == len(units) || units[digits] != ':' || size > len(units)-digits-1 {
			return errors.New("split payload: a length is missing or wrong")
		}
		begin := digits + 1
		if err := packet(string(utf16.Decode(units[begin : begin+size]))); err != nil {
			return err
		}
		units = units[begin+size:]
	}
	return nil
}
