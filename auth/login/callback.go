package login

import (
	"context"
	"errors"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	statusOK     = http.StatusOK
	statusBad    = http.StatusBadRequest
	statusFailed = http.StatusBadGateway
)

// callbackServer serves the page that the provider redirects the browser to.
type callbackServer struct {
	http    *http.Server
	serving sync.WaitGroup
}

// serveCallback serves path on the listeners until stop. It passes each request on as an arrival and shows the verdict.
// After done is closed, it answers that the reply was already used.
func serveCallback(listeners []net.Listener, path, title string, arrivals chan<- arrival, done <-chan struct{}) *callbackServer {
	page := resultPage()
	show := func(w http.ResponseWriter, v verdict) {
		w.WriteHeader(v.status)
		// The browser may be gone; nothing depends on this page.
		_ = page.Execute(w, map[string]string{"Provider": title, "Title": v.title, "Text": v.text})
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Type", "text/html; charset=utf-8")
		head.Set("Cache-Control", "no-store")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		switch {
		case !samePath(r.URL.Path, path):
			show(w, verdict{http.StatusNotFound, "Nothing here", "This is the page where relay waits for a login."})
			return
		case r.Method != http.MethodGet:
			head.Set("Allow", http.MethodGet)
			show(w, verdict{http.StatusMethodNotAllowed, "Not like this", "A login comes back with GET."})
			return
		}
		answer := make(chan verdict, 1)
		select {
		case arrivals <- arrival{query: parseReply(r.URL.RawQuery), verdict: answer}:
			show(w, <-answer)
		case <-done:
			show(w, verdict{http.StatusGone, "Already used", "A login is answered once, and this one has been. See the terminal for what came of it."})
		case <-r.Context().Done():
		}
	}
	s := &callbackServer{http: &http.Server{
		Handler:           http.HandlerFunc(handler),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // it would print data from strangers
	}}
	s.http.SetKeepAlivesEnabled(false)
	for _, l := range listeners {
		s.serving.Go(func() { _ = s.http.Serve(l) })
	}
	return s
}

// samePath reports whether two paths differ at most in a trailing slash, which some providers add or remove.
func samePath(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

// parseReply parses the query of a login reply. It never fails, because not every provider escapes its values: in a
// code and a state, a plus is literal, since neither has spaces; a percent sign without two hexadecimal digits is
// literal, and a semicolon separates nothing.
func parseReply(query string) url.Values {
	all := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		if name != "code" && name != "state" {
			value = strings.ReplaceAll(value, "+", " ")
		}
		all.Add(name, unescape(value))
	}
	return all
}

// unescape is [url.PathUnescape], except that it keeps an invalid escape as it is.
func unescape(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if char, err := url.PathUnescape("%" + after[:min(2, len(after))]); err == nil {
			b.WriteString(char)
			text = after[2:]
			continue
		}
		b.WriteByte('%')
		text = after
	}
}

// stop closes the listeners, lets the last page reach the browser, and waits for the goroutines.
func (s *callbackServer) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), time.Second, errors.New("the browser keeps its connection"))
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.serving.Wait()
}

func resultPage() *template.Template {
	return template.Must(template.New("result").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{{.Title}} - relay and {{.Provider}}</title>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
</body>
</html>
`))
}
