package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/treatrelay/relay/internal/problem"
)

const (
	// pagePolicy is the Content-Security-Policy of pages, without its part about frames. Scripts and styles come from relay's own files only, and
	// nothing is sent elsewhere.
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; " +
		"font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
	// dataPolicy is that of everything else: a browser that is made to show it as a page runs nothing.
	dataPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)

// secure sets the headers that every answer has. A page sets a policy of its own.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", dataPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// allowPage sets the policy of a page: the overlay's page may be in a frame of the dashboard, as a preview.
func allowPage(h http.Header, overlay bool) {
	if overlay {
		h.Set("Content-Security-Policy", pagePolicy+"; frame-ancestors 'self'")
	} else {
		h.Set("Content-Security-Policy", pagePolicy+"; frame-src 'self'; frame-ancestors 'none'")
	}
}

// shareWithAll lets pages of any origin read the answer. Only answers to requests with a key have it: a page has to know the key to send one, and a
// browser sends no cookie with it.
func shareWithAll(h http.Header) { h.Set("Access-Control-Allow-Origin", "*") }

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflight answers the question of a browser whether a page of another origin may send a request. Only those that a key can open are possible.
func (h *handler) preflight(w http.ResponseWriter, r *http.Request) {
	method := r.Header.Get("Access-Control-Request-Method")
	if !slices.Contains([]string{http.MethodGet, http.MethodPost}, method) || h.Access(method, r.URL.Path) != keyRole || !inKeyScope(r.URL.Path, "") {
		refuse(w, r, problem.New(http.StatusForbidden, "cross-origin", "pages of other origins may not send this request",
			"send it from relay's own page, or from a program that is no browser"))
		return
	}
	out := w.Header()
	shareWithAll(out)
	out.Set("Access-Control-Allow-Methods", method)
	out.Set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID, Content-Type")
	out.Set("Access-Control-Max-Age", "600")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		out.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
}

// bearer returns the key in the Authorization header. A header of another scheme, which a proxy may have asked for, is none.
func bearer(r *http.Request) (key string, ok bool) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key), strings.EqualFold(scheme, "Bearer")
}
