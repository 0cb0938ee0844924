package server

import (
	"net/http"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// setup answers as a relay that is configured. The setup itself is served by the package setup, before a relay runs.
func (s *server) setup(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, api.Setup{State: api.SetupDone})
}

func (s *server) setUp(http.ResponseWriter, *http.Request) error {
	return api.NewProblem(http.StatusConflict, api.ProblemConfigured, "relay has a configuration already").WithFix(advice.Do("edit relay.yaml"))
}
