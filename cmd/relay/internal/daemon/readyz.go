package daemon

import (
	"encoding/json"
	"net/http"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// readyz serves /readyz: status 200 if relay is ready or degraded, or else 503, with an [api.Readiness].
func (m *monitor) readyz(w http.ResponseWriter, r *http.Request) {
	v := m.snapshot(r.Context()).Readiness
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if v.State == api.StateNotReady {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}
