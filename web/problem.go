package web

import (
	"html/template"
	"io"
	"net/http"
	"strings"

	"github.com/treatrelay/relay/internal/problem"
)

func wrongMethod(w http.ResponseWriter, r *http.Request, allowed ...string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, r, problem.New(http.StatusMethodNotAllowed, "usage", "this address does not accept the method of the request", ""))
}

func notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, problem.New(http.StatusNotFound, "not-found", "relay has no page at this address", "the dashboard is at /"))
}

// blankPage draws nothing. Without a body, Chromium would draw its own page, which has the address and the key in it.
const blankPage = "<!doctype html><title></title>"

// refuse answers with a problem: to a person with a page, to a program with JSON, and to an overlay, which may be on air, with a blank page.
func refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	w.Header().Set("Cache-Control", "no-store")
	path := r.URL.Path
	program := path == "/session" || path == Root || strings.HasPrefix(path, Root+"/")
	switch {
	case path == "/overlay" || strings.HasPrefix(path, "/overlay/"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		_, _ = io.WriteString(w, blankPage) // the browser may have left
	case !program && strings.Contains(r.Header.Get("Accept"), "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		_ = problemPage().Execute(w, p) // the browser may have left
	default:
		problem.Send(w, p.Status, p)
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
