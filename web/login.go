package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/web/session"
)

const (
	maxLogin  = 4 << 10 // bytes
	loginTime = 10 * time.Second
)

// login opens a session with one of the two.
type login struct {
	Link     string `json:"link"`
	Password string `json:"password"`
}

// loggedOut is the answer to the question who is logged in, if nobody is.
type loggedOut struct {
	*problem.Problem
	Password bool `json:"password"` // there is one to log in with
}

// session serves /session: who is logged in, logging in and logging out.
func (h *handler) session(w http.ResponseWriter, r *http.Request) {
	if p := h.sameOrigin(r); p != nil {
		refuse(w, r, p)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		role := h.Sessions.Role(session.Token(r))
		if !role.LogsIn() {
			problem.Send(w, http.StatusUnauthorized, loggedOut{h.notLoggedIn(), h.Sessions.HasPassword()})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"role": role.String()}) // the browser may have left
	case http.MethodPost:
		if p := h.logIn(w, r); p != nil {
			refuse(w, r, p)
		}
	case http.MethodDelete:
		h.Sessions.End(session.Token(r))
		http.SetCookie(w, session.NoCookie(r.Host, h.encrypted(r)))
		w.WriteHeader(http.StatusNoContent)
	default:
		wrongMethod(w, r, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete)
	}
}

func (h *handler) logIn(w http.ResponseWriter, r *http.Request) *problem.Problem {
	order, p := readLogin(w, r)
	if p != nil {
		return p
	}
	var token secret.String
	var role session.Role
	var err error
	by := "password"
	if order.Link != "" {
		by = "link"
		token, role, err = h.Sessions.UseLink(h.proxies.client(r), order.Link)
	} else {
		token, role, err = h.Sessions.LogIn(h.proxies.client(r), order.Password)
	}
	if err != nil {
		return h.refusal(w, r, by, err)
	}
	h.Sessions.End(session.Token(r)) // the browser forgets it now
	http.SetCookie(w, session.Cookie(r.Host, token, h.encrypted(r)))
	w.WriteHeader(http.StatusNoContent)
	h.Log.Info().Stringer("role", role).Str("by", by).Stringer("client", h.proxies.client(r)).Msg("logged in to the dashboard")
	return nil
}

// readLogin reads the request to log in. No problem quotes it.
func readLogin(w http.ResponseWriter, r *http.Request) (order login, p *problem.Problem) {
	// A form of another site cannot send this type, whatever the browser.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return order, problem.New(http.StatusUnsupportedMediaType, "usage", "the request to log in is no JSON", "send it with Content-Type: application/json")
	}
	body, p := readBody(w, r, maxLogin, loginTime)
	if p != nil {
		return order, p
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&order)
	_, more := dec.Token()
	if err != nil || !errors.Is(more, io.EOF) || (order.Link == "") == (order.Password == "") {
		return login{}, problem.New(http.StatusBadRequest, "usage", "the request to log in must have either a link or a password", `send {"password":"..."}`)
	}
	return order, nil
}

// refusal is the problem of an attempt to log in that failed. The log mentions each kind at most once a minute.
func (h *handler) refusal(w http.ResponseWriter, r *http.Request, by string, err error) *problem.Problem {
	var limit *session.LimitError
	switch {
	case errors.As(err, &limit):
		h.limited.Do(func() {
			h.Log.Warn().Str("by", by).Stringer("client", h.proxies.client(r)).
				Msg("too many attempts to log in to the dashboard are refused; if they are not yours, let only those who need it reach http.listen")
		})
		if h.proxies.unknownProxy(r) {
			h.unnamed.Do(func() {
				h.Log.Warn().Stringer("proxy", peer(r)).
					Msg("all clients of a reverse proxy share one limit of attempts to log in; if it is yours, add it to http.trusted_proxies")
			})
		}
		w.Header().Set("Retry-After", strconv.Itoa(limit.Seconds()))
		return problem.New(http.StatusTooManyRequests, "too-many-attempts", limit.Error(), "or run relay dashboard where relay runs")
	case errors.Is(err, session.ErrRefused):
		h.refused.Do(func() {
			h.Log.Warn().Str("by", by).Stringer("client", h.proxies.client(r)).Msg("an attempt to log in to the dashboard was refused")
		})
		if by == "link" {
			return problem.New(http.StatusUnauthorized, "login-refused", "the link was used already, or is older than a minute", "run relay dashboard again")
		}
		return problem.New(http.StatusUnauthorized, "login-refused", "the password is wrong", "enter it again, or run relay dashboard where relay runs")
	case errors.Is(err, session.ErrNoPassword):
		return problem.New(http.StatusForbidden, "no-password", err.Error(), "run relay dashboard, or set http.password_file")
	default: // the password file; its path is for the operator only
		if h.faults.news(err.Error()) {
			h.Log.Error().Err(err).Msg("nobody can log in with a password")
		}
		return problem.New(http.StatusInternalServerError, "failed", "relay cannot read the password file", "the log of relay says why; relay dashboard works without it")
	}
}

// faults remembers the fault of a password file that was logged last. Its zero value is ready for use.
type faults struct {
	mu   sync.Mutex
	text string
	at   time.Time
}

// news reports whether to log a fault: it is another one than the last, or that was logged a minute ago.
func (f *faults) news(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text == text && time.Since(f.at) < time.Minute {
		return false
	}
	f.text, f.at = text, time.Now()
	return true
}
