package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/web/session"
)

const (
	keyRole = session.Key

	maxBody  = 1 << 20          // bytes of a request to the API
	bodyTime = 30 * time.Second // that a body may take to arrive
)

// caller is who sent a request.
type caller struct {
	role    session.Role
	overlay Overlay // of the key, if that is the role
	token   string  // of the session; empty: the caller has a key
	// still reports whether the caller may go on: the session has not ended, the key is not revoked.
	still func() bool
}

// api passes a request to the local API if its sender may send it.
func (h *handler) api(w http.ResponseWriter, r *http.Request) {
	if isPreflight(r) {
		h.preflight(w, r)
		return
	}
	c, p := h.identify(w, r)
	if p == nil {
		p = h.authorize(r, c)
	}
	if p != nil {
		refuse(w, r, p)
		return
	}
	if r.Method == http.MethodHead { // that of a stream would not end
		wrongMethod(w, r, http.MethodGet)
		return
	}
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	if c.token != "" {
		ctx = session.WithToken(ctx, c.token)
	}
	through, p := h.forward(w, r.WithContext(ctx), c)
	if p != nil {
		refuse(w, r, p)
		return
	}
	h.API.ServeHTTP(newAnswer(w, patience, c.still, end), through)
}

// identify finds out who sent a request: by its key, or else by its cookie.
func (h *handler) identify(w http.ResponseWriter, r *http.Request) (caller, *problem.Problem) {
	if key, ok := bearer(r); ok {
		shareWithAll(w.Header())
		return h.byKey(w, r, key)
	}
	if p := h.sameOrigin(r); p != nil {
		return caller{}, p
	}
	token := session.Token(r)
	role := h.Sessions.Role(token)
	if !role.LogsIn() {
		return caller{}, h.notLoggedIn()
	}
	return caller{role: role, token: token, still: func() bool { return h.Sessions.Role(token) == role }}, nil
}

func (h *handler) byKey(w http.ResponseWriter, r *http.Request, key string) (caller, *problem.Problem) {
	var overlay Overlay
	known := false
	if h.Keys != nil {
		overlay, known = h.Keys.Check(r.Context(), key)
	}
	if !known || overlay.Name == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return caller{}, problem.New(http.StatusUnauthorized, "wrong-key", "relay does not know this key; it may be revoked",
			"make a new one with relay overlay new")
	}
	ctx := r.Context()
	return caller{role: keyRole, overlay: overlay, still: func() bool {
		now, ok := h.Keys.Check(ctx, key)
		return ok && now == overlay
	}}, nil
}

// sameOrigin refuses requests that pages of other origins make the browser send, with the cookie in them.
func (h *handler) sameOrigin(r *http.Request) *problem.Problem {
	site := r.Header.Get("Sec-Fetch-Site")
	if h.origin.Check(r) == nil && (site == "" || site == "same-origin" || site == "none") {
		return nil
	}
	return problem.New(http.StatusForbidden, "cross-origin", "a page of another origin made the browser send this request",
		"send it from relay's own page; if that is what you did, set http.public_url to the address in the browser")
}

func (h *handler) notLoggedIn() *problem.Problem {
	fix := "run relay dashboard"
	if h.Sessions.HasPassword() {
		fix = "enter the password, or run relay dashboard"
	}
	return problem.New(http.StatusUnauthorized, "not-logged-in", "nobody is logged in, or the session has ended", fix)
}

// authorize refuses a request that its sender may not send.
func (h *handler) authorize(r *http.Request, c caller) *problem.Problem {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	least := h.Access(method, r.URL.Path)
	if least == session.None {
		least = session.Owner
	}
	switch {
	case c.role < least:
		return problem.New(http.StatusForbidden, "forbidden", fmt.Sprintf("the role %s may not do this", c.role), fmt.Sprintf("it takes the role %s", least))
	case c.role != keyRole:
		return nil
	case !inKeyScope(r.URL.Path, c.overlay.Name):
		return problem.New(http.StatusForbidden, "forbidden", fmt.Sprintf("the key is for the overlay %s only", c.overlay.Name),
			"make a key for this overlay with relay overlay new")
	}
	return nil
}

// inKeyScope reports whether a key can open a path: the events, and what is below its overlay. An empty overlay stands for any.
func inKeyScope(path, overlay string) bool {
	if path == Root+"/events" {
		return true
	}
	rest, ok := strings.CutPrefix(path, Root+"/overlays/")
	name, rest, _ := strings.Cut(rest, "/")
	return ok && rest != "" && name != "" && (overlay == "" || name == overlay)
}

// readsTreats reports whether the answer to a request with a key has treats: the stream of events, and what an overlay shows.
func readsTreats(path string) bool {
	return path == Root+"/events" || strings.HasPrefix(path, Root+"/overlays/") && strings.HasSuffix(path, "/stage")
}

// forward makes the request for the local API. It has no secrets, its body is in memory, and it asks for no more than the caller may read.
func (h *handler) forward(w http.ResponseWriter, r *http.Request, c caller) (*http.Request, *problem.Problem) {
	r.Header = r.Header.Clone()
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
	if account := c.overlay.Account; account != "" && readsTreats(r.URL.Path) {
		u := *r.URL
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil { // a part that cannot be read must not get lost
			return nil, problem.New(http.StatusBadRequest, "usage", "the query of the URL is malformed", "write % as %25, and ; as %3B")
		}
		if slices.ContainsFunc(q["account"], func(other string) bool { return other != account }) {
			return nil, problem.New(http.StatusForbidden, "forbidden", fmt.Sprintf("the key reads events of the account %s only", account),
				"leave the account out, or make another key with relay overlay new")
		}
		q.Set("account", account)
		u.RawQuery = q.Encode()
		r.URL = &u
	}
	body, p := readBody(w, r, maxBody, bodyTime)
	if p != nil {
		return nil, p
	}
	r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, int64(len(body)), nil
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r, nil
}

// readBody reads the body of a request, and then lets the answer take any time.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) ([]byte, *problem.Problem) {
	control := http.NewResponseController(w)
	var body []byte
	if r.Body != nil && r.Body != http.NoBody {
		_ = control.SetReadDeadline(time.Now().Add(within)) // a transport without deadlines is in this process
		var err error
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit)); err != nil {
			return nil, bodyProblem(err, limit, within)
		}
	}
	// The deadline of the server for reading a request would otherwise end its context.
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

func bodyProblem(err error, limit int64, within time.Duration) *problem.Problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("the request has more than %d KiB", limit>>10), "send less at once")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(http.StatusRequestTimeout, "too-slow", fmt.Sprintf("the request did not arrive within %s", within), "send it again")
	}
	return problem.New(http.StatusBadRequest, "usage", "the request is cut off", "send it again")
}
