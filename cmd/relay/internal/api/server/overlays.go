package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/web/overlay"
)

// Overlays has the overlays that the handlers control. Its methods are safe for concurrent use.
type Overlays interface {
	// Stage returns an overlay. The error is [overlay.ErrNoOverlay] if there is none with the name.
	Stage(name string) (*overlay.Stage, error)
	// Create returns an overlay, and creates it if there is none with the name.
	Create(ctx context.Context, name string) (*overlay.Stage, error)
	// Remove removes an overlay. The error is [overlays.ErrConfigured] if the configuration has it.
	Remove(ctx context.Context, name string) error
	Names() []string
	Stopped() bool
	Stop(ctx context.Context) error
	Start(ctx context.Context) error
	// Handler serves the pages of the overlays.
	Handler() http.Handler
}

// pageURL returns the URL of the pages, or "".
func (s *server) pageURL() string {
	if s.PageURL == nil {
		return ""
	}
	return s.PageURL()
}

func (s *server) overlays(w http.ResponseWriter, r *http.Request) error {
	all, err := s.Overlays(r.Context())
	if err != nil {
		return err
	}
	list := api.OverlayList{Stopped: all.Stopped(), Overlays: []api.Overlay{}}
	for _, name := range all.Names() {
		if st, err := all.Stage(name); err == nil { // it may be gone since
			list.Overlays = append(list.Overlays, api.OverlayOf(st, s.pageURL()))
		}
	}
	return answer(w, list)
}

func (s *server) stopOverlays(w http.ResponseWriter, r *http.Request) error {
	return s.switchOverlays(w, r, Overlays.Stop)
}

func (s *server) startOverlays(w http.ResponseWriter, r *http.Request) error {
	return s.switchOverlays(w, r, Overlays.Start)
}

func (s *server) switchOverlays(w http.ResponseWriter, r *http.Request, change func(Overlays, context.Context) error) error {
	all, err := s.Overlays(r.Context())
	if err == nil {
		err = change(all, r.Context())
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) newKey(w http.ResponseWriter, r *http.Request) error {
	var order api.KeyRequest
	if err := body(w, r, &order); err != nil {
		return err
	}
	if accounts := s.accounts(); order.Account != "" && !slices.Contains(accounts, order.Account) {
		return api.NewProblem(http.StatusNotFound, api.ProblemNoAccount, fmt.Sprintf("there is no account %q", order.Account)).WithCode(exit.Usage)
	}
	name := r.PathValue("name")
	if err := overlay.CheckName(name); err != nil {
		return usage(err)
	}
	base := s.pageURL()
	if base == "" {
		return api.NewProblem(http.StatusConflict, api.ProblemNoPages, "relay serves no pages: http.listen is off, or its port was in use at the start").
			WithFix(advice.Do("set http.listen to a free address and restart relay")).WithCode(exit.Config)
	}
	all, err := s.Overlays(r.Context())
	if err != nil {
		return err
	}
	st, err := all.Create(r.Context(), name)
	if err != nil {
		return err
	}
	key, k, err := st.NewKey(r.Context(), order.Account)
	if err != nil {
		return err
	}
	made := api.NewKey{Key: key.Reveal(), ID: k.ID, URL: base + "/overlay/" + name + "#" + key.Reveal()}
	if st.OpensFor(order.Account) != nil {
		made.Warning = fmt.Sprintf("the key opens the events of %s, but not the page: the overlay shows other accounts too; set overlays.%s.accounts to [%s] in relay.yaml",
			order.Account, name, order.Account)
	}
	return answer(w, made)
}

func (s *server) accounts() []string {
	if s.Accounts == nil {
		return nil
	}
	return s.Accounts()
}

// stage returns the overlay that a request names.
func (s *server) stage(r *http.Request) (*overlay.Stage, error) {
	all, err := s.Overlays(r.Context())
	if err != nil {
		return nil, err
	}
	return all.Stage(r.PathValue("name"))
}

func (s *server) revokeKey(w http.ResponseWriter, r *http.Request) error {
	st, err := s.stage(r)
	if err == nil {
		err = st.RevokeKey(r.Context(), r.PathValue("id"))
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) removeOverlay(w http.ResponseWriter, r *http.Request) error {
	all, err := s.Overlays(r.Context())
	if err == nil {
		err = all.Remove(r.Context(), r.PathValue("name"))
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// onOverlay returns a handler that changes an overlay, and answers with what it does then.
func (s *server) onOverlay(change func(ctx context.Context, st *overlay.Stage, w http.ResponseWriter, r *http.Request) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		st, err := s.stage(r)
		if err == nil {
			err = change(r.Context(), st, w, r)
		}
		if err != nil {
			return err
		}
		return answer(w, api.OverlayOf(st, s.pageURL()))
	}
}

// control returns a handler of one of [api.OverlayActions].
func (s *server) control(do func(*overlay.Stage, context.Context) error) handler {
	return s.onOverlay(func(ctx context.Context, st *overlay.Stage, _ http.ResponseWriter, _ *http.Request) error {
		return do(st, ctx)
	})
}

func (s *server) skip(w http.ResponseWriter, r *http.Request) error {
	st, err := s.stage(r)
	if err != nil {
		return err
	}
	skipped, err := st.SkipAlert(r.Context())
	if err := s.needsRelay(err); err != nil {
		return err
	}
	o := api.OverlayOf(st, s.pageURL())
	o.Skipped = skipped
	return answer(w, o)
}

func (s *server) showAgain(ctx context.Context, st *overlay.Stage, w http.ResponseWriter, r *http.Request) error {
	var order api.ShowAgainRequest
	if err := body(w, r, &order); err != nil {
		return err
	}
	if (order.Number == 0) == (order.ID == "") {
		return usage(errors.New("name the treat by its number in the journal, from 1 on, or by its id"))
	}
	return s.needsRelay(st.ShowAgain(ctx, order.Number, order.ID))
}

func (s *server) testOverlay(_ context.Context, st *overlay.Stage, w http.ResponseWriter, r *http.Request) error {
	var text overlay.Text
	if err := body(w, r, &text); err != nil {
		return err
	}
	return s.needsRelay(st.Test(text))
}

// needsRelay returns the problem of a request that only a running relay can serve, if none runs, and otherwise err.
func (s *server) needsRelay(err error) error {
	if s.Status == nil {
		return notRunning()
	}
	return err
}

func (s *server) setLayout(ctx context.Context, st *overlay.Stage, w http.ResponseWriter, r *http.Request) error {
	var l overlay.Layout
	if err := body(w, r, &l); err != nil {
		return err
	}
	if err := l.Check(); err != nil {
		return usage(errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return st.SetLayout(ctx, &l)
}

// overlayPage serves the requests of an overlay's page.
func (s *server) overlayPage(w http.ResponseWriter, r *http.Request) error {
	all, err := s.Overlays(r.Context())
	if err != nil {
		return err
	}
	all.Handler().ServeHTTP(w, r)
	return nil
}

// newLink makes a link that logs in to the dashboard.
func (s *server) newLink(w http.ResponseWriter, r *http.Request) error {
	var order api.LinkRequest
	if err := body(w, r, &order); err != nil {
		return err
	}
	role := api.Owner
	switch order.Role {
	case "", api.Owner.String():
	case api.Moderator.String():
		role = api.Moderator
	default:
		return usage(errors.New("role: want owner or moderator"))
	}
	if s.NewLink == nil {
		return notRunning()
	}
	link, err := s.NewLink(r.Context(), role)
	if err != nil {
		return err
	}
	return answer(w, link)
}

// overlayHandlers are those of the operations on overlays.
func (s *server) overlayHandlers() map[string]handler {
	const path = " /overlays/{name}/"
	return map[string]handler{
		"GET /overlays":               s.overlays,
		"POST /overlays/stop":         s.stopOverlays,
		"POST /overlays/start":        s.startOverlays,
		"DELETE /overlays/{name}":     s.removeOverlay,
		"POST" + path + "keys":        s.newKey,
		"DELETE" + path + "keys/{id}": s.revokeKey,
		"POST" + path + "again":       s.onOverlay(s.showAgain),
		"POST" + path + "test":        s.onOverlay(s.testOverlay),
		"PUT" + path + "layout":       s.onOverlay(s.setLayout),
		"DELETE" + path + "layout":    s.control(func(st *overlay.Stage, ctx context.Context) error { return st.SetLayout(ctx, nil) }),
		"GET" + path + "stage":        s.overlayPage,
		"POST" + path + "shown":       s.overlayPage,
		"GET" + path + "files/{file}": s.overlayPage,

		"POST" + path + "pause":         s.control((*overlay.Stage).Pause),
		"POST" + path + "resume":        s.control((*overlay.Stage).Resume),
		"POST" + path + "skip":          s.skip,
		"POST" + path + "clear":         s.control((*overlay.Stage).Clear),
		"POST" + path + "mute":          s.control((*overlay.Stage).Mute),
		"POST" + path + "unmute":        s.control((*overlay.Stage).Unmute),
		"POST" + path + "reset-counter": s.control((*overlay.Stage).ResetCounter),
	}
}
