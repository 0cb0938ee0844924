package web

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
)

// problem says why a request failed (RFC 9457), in the form of the local API.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// newProblem makes a problem of a name, with what failed and, if somebody can fix it, how.
func newProblem(status int, name, detail, fix string) *problem {
	return &problem{"urn:relay:problem:" + name, http.StatusText(status), status, detail, fix}
}

func wrongMethod(w http.ResponseWriter, r *http.Request, allowed ...string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, r, newProblem(http.StatusMethodNotAllowed, "usage", "this address does not accept the method of the request", ""))
}

func notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, newProblem(http.StatusNotFound, "not-found", "relay has no page at this address", "the dashboard is at /"))
}

// refuse answers with a problem: to a person with a page, to a program with JSON, and to an overlay, which may be on air, with nothing.
func refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	w.Header().Set("Cache-Control", "no-store")
	path := r.URL.Path
	program := path == "/session" || path == Root || strings.HasPrefix(path, Root+"/")
	switch {
	case path == "/overlay" || strings.HasPrefix(path, "/overlay/"):
		w.WriteHeader(p.Status)
	case !program && strings.Contains(r.Header.Get("Accept"), "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		_ = problemPage().Execute(w, p) // the browser may have left
	default:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	}
}

func problemPage() *template.Template {
	return template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{{.Title}} - relay</title>
<h1>{{.Title}}</h1>
<p>{{.Detail}}{{with .Fix}}; {{.}}{{end}}.</p>
</html>
`))
}
