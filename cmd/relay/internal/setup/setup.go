// Package setup makes the first relay.yaml from what a person enters on a page. It has the part of the local API that the page needs before a relay
// runs.
package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/sinks"
)

// Overlay is the name of the overlay of a first configuration.
const Overlay = "main"

// Config says what a setup writes.
type Config struct {
	Path   string                      // of relay.yaml
	Listen string                      // http.listen; empty: its default
	Getenv func(string) (string, bool) // to check the file that was written
	Log    zerolog.Logger
}

// Setup is one first configuration. Its methods may be called by several goroutines.
type Setup struct {
	Config
	done chan struct{}

	mu      sync.Mutex
	written bool
}

// New returns a setup. It writes nothing yet. Its paths become absolute, so that people know which file is meant.
func New(cfg Config) (*Setup, error) {
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("set up %s: %w", cfg.Path, err)
	}
	cfg.Path = path
	return &Setup{Config: cfg, done: make(chan struct{})}, nil
}

// Done is closed when relay.yaml is written.
func (s *Setup) Done() <-chan struct{} { return s.done }

// Handler returns the handler of everything below [api.Root]. Its callers must be authorized.
func (s *Setup) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.Root+"/setup", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.state()) })
	mux.HandleFunc("POST "+api.Root+"/setup", s.post)
	mux.HandleFunc("GET "+api.Root+"/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, status()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, api.NewProblem(http.StatusServiceUnavailable, api.ProblemSetup, "relay has no configuration yet").WithFix(advice.Do("finish the setup")))
	})
	return mux
}

func (s *Setup) state() api.Setup {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written {
		return api.Setup{State: api.SetupDone}
	}
	state := api.Setup{State: api.SetupNeeded, Path: s.Path}
	for _, p := range provider.All() {
		state.Providers = append(state.Providers, describe(p))
	}
	for _, typ := range sinks.Types() {
		state.Sinks = append(state.Sinks, api.SetupSink{Type: typ, URL: wantsURL(typ)})
	}
	return state
}

// status is the status of a relay that does not run yet. The page asks for it until it is that of the running relay.
func status() api.Status {
	return api.Status{
		Readiness: api.Readiness{State: api.StateSetup, NotReady: []api.Trouble{}, Degraded: []api.Trouble{}},
		Time:      time.Now().UTC(), Version: version.Number(), Accounts: []api.AccountStatus{}, Sinks: []api.LaneStatus{},
	}
}

func describe(p provider.Provider) api.SetupProvider {
	d := api.SetupProvider{
		Name: p.Name, Title: p.Title, Account: starter.DefaultAccount(p), Treats: p.Endpoints.Socket != "",
		Client: p.Grant != provider.PersonalToken, SecretLess: secretOptional(p), BaseURL: p.Grant == provider.ClientCredentials, Page: p.AppPage,
	}
	switch p.Grant {
	case provider.PersonalToken:
		d.Page = p.TokenPage
	case provider.ClientCredentials:
	default:
		d.RedirectURL = config.DefaultRedirectURL
	}
	return d
}

// maxRequest limits a request, in bytes.
const maxRequest = 64 << 10

func (s *Setup) post(w http.ResponseWriter, r *http.Request) {
	var order api.SetupRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&order); err != nil { // which may quote a secret
		fail(w, api.NewProblem(http.StatusBadRequest, api.ProblemUsage, "the request is no JSON object of this form").WithFix(advice.Do("see docs/openapi.json")))
		return
	}
	result, err := s.use(order)
	if err != nil {
		p, ok := errors.AsType[*api.Problem](err)
		if !ok {
			wrong, fix := advice.Split(err)
			p = api.NewProblem(http.StatusInternalServerError, api.ProblemFailed, text.Line(wrong)).WithFix(fix)
		}
		fail(w, p)
		return
	}
	answer(w, http.StatusOK, result)
}

// use checks a request and, unless that is all it asks for, writes the configuration.
func (s *Setup) use(order api.SetupRequest) (result api.SetupResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written || !Needed(s.Path) {
		return result, s.configured()
	}
	f, wrong := s.form(order)
	if len(wrong) > 0 {
		p := api.NewProblem(http.StatusBadRequest, api.ProblemUsage, "the configuration would not be valid: "+wrong[0].String())
		p.Errors = wrong
		return result, p
	}
	result = api.SetupResult{Path: s.Path, Text: s.comments() + f.answers.Text(filepath.Base(s.Path)), Files: f.names()}
	if order.Check {
		return result, s.obstacle(f.files)
	}
	if err := s.write(result.Text, f.files); err != nil {
		return api.SetupResult{}, err
	}
	s.Log.Info().Str("file", s.Path).Strs("secrets", result.Files).Msg("wrote the configuration")
	s.written = true
	close(s.done)
	return result, nil
}

func (s *Setup) configured() error {
	return api.NewProblem(http.StatusConflict, api.ProblemConfigured, s.Path+" exists already").
		WithFix(advice.Do("start relay with it, or move it away"))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the browser may have left
}

func fail(w http.ResponseWriter, p *api.Problem) { problem.Send(w, p.Status, p) }
