package simulator

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// maxHistory bounds the treats in memory. The oldest ones are dropped.
	maxHistory = 100_000
	// historySpan is how far back the provider's history reaches.
	historySpan = 30 * 24 * time.Hour
)

// history holds the emitted treats, oldest first.
type history struct {
	mu      sync.Mutex
	treats  []Treat
	emitted []time.Time
}

func (h *history) add(t Treat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.treats) == maxHistory {
		h.treats, h.emitted = h.treats[1:], h.emitted[1:]
	}
	h.treats, h.emitted = append(h.treats, t), append(h.emitted, time.Now())
}

// all returns a copy, oldest first.
func (h *history) all() []Treat {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.treats)
}

// month returns the treats of the last thirty days, newest first.
func (h *history) month() []Treat {
	h.mu.Lock()
	defer h.mu.Unlock()
	begin := time.Now().Add(-historySpan)
	first, _ := slices.BinarySearchFunc(h.emitted, begin, time.Time.Compare)
	newest := append([]Treat{}, h.treats[first:]...) // not nil, so that it is an empty array in JSON
	slices.Reverse(newest)
	return newest
}

// Emitted returns the emitted treats, oldest first, at most the last 100,000.
func (s *Server) Emitted() []Treat { return s.history.all() }

// monthTreats answers with the treats of the last thirty days. The format of the provider's own reply is not known.
// This one is an array of treats as the socket emits them, newest first. The access token is in the path or the query.
func (s *Server) monthTreats(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("access_token")
	if token == "" {
		token = r.URL.Query().Get("access_token")
	}
	if !s.grants.isAccess(token) {
		refuse(w, http.StatusUnauthorized, "invalid_token", "the access token is unknown or expired")
		return
	}
	reply(w, http.StatusOK, s.history.month())
}
