package daemon

import (
	"encoding/json"
	"net/http"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// readyz answers whether relay is ready: 200 if it is, if need be degraded, else 503; with what is not as it should be.
func (m *monitor) readyz(w http.ResponseWriter, r *http.Request) {
	v := m.snapshot(r.Context()).Readiness
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if v.State == api.StateNotReady {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have left
}
