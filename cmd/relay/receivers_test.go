package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/pipeline"
)

// webhookSecret is the signing secret of the webhooks.
const webhookSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// receiver is a bot's HTTP server that checks every signature.
type receiver struct {
	*lines
	server  *httptest.Server
	handler http.HandlerFunc

	mu     sync.Mutex
	ids    []string // webhook-id of each request, as they come
	delay  time.Duration
	refuse []string // texts in the events that it refuses permanently
}

// refuses makes the receiver refuse events that contain one of these texts from now on.
func (r *receiver) refuses(parts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = parts
}

// clear discards the events that the receiver has.
func (r *receiver) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = nil
	r.lines.mu.Lock()
	defer r.lines.mu.Unlock()
	r.all, r.rest = nil, nil
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{lines: new(lines)}
	r.handler = func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // relay was killed in the middle
		}
		if err := wh.Verify(body, req.Header); err != nil {
			t.Errorf("webhook: %v", err)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		select {
		case <-time.After(r.delay):
		case <-req.Context().Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if slices.ContainsFunc(r.refuse, func(part string) bool { return bytes.Contains(body, []byte(part)) }) {
			http.Error(rw, "no such dish", http.StatusBadRequest)
			return
		}
		r.ids = append(r.ids, req.Header.Get("webhook-id"))
		r.add(body)
	}
	r.server = httptest.NewServer(r.handler)
	t.Cleanup(r.server.Close)
	return r
}

// endpoint is a receiver whose answers the test chooses.
type endpoint struct {
	server *httptest.Server

	mu    sync.Mutex
	calls []call
	under int
	most  int // requests at a time
}

type call struct{ id, title string }

func newEndpoint(t *testing.T, answer func(rw http.ResponseWriter, req *http.Request, e pipeline.Event)) *endpoint {
	t.Helper()
	ep := &endpoint{}
	ep.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // relay was killed in the middle
		}
		var e pipeline.Event
		if err := json.Unmarshal(body, &e); err != nil || e.ID != req.Header.Get("webhook-id") {
			t.Errorf("webhook-id %q with the body %q (%v)", req.Header.Get("webhook-id"), body, err)
			return
		}
		c := call{id: e.ID}
		if e.Data.Title != nil {
			c.title = *e.Data.Title
		}
		ep.mu.Lock()
		ep.calls = append(ep.calls, c)
		ep.under++
		ep.most = max(ep.most, ep.under)
		ep.mu.Unlock()
		answer(rw, req, e)
		ep.mu.Lock()
		ep.under--
		ep.mu.Unlock()
	}))
	t.Cleanup(ep.server.Close)
	return ep
}

func (ep *endpoint) got() []call {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return append([]call(nil), ep.calls...)
}

// uniqueTitles checks that no title has two ids, and returns the titles without repeats.
func uniqueTitles(t *testing.T, calls []call) (titles []string) {
	t.Helper()
	ids := make(map[string]string)
	for _, c := range calls {
		id, again := ids[c.title]
		if again && id != c.id {
			t.Errorf("%s came as %s and as %s", c.title, id, c.id)
		}
		if !again {
			titles = append(titles, c.title)
		}
		ids[c.title] = c.id
	}
	return titles
}

// requests keeps the last request to each path.
type requests struct {
	server *httptest.Server

	mu   sync.Mutex
	got  map[string]*http.Request
	body map[string]string
}

func newRequests(t *testing.T) *requests {
	t.Helper()
	r := &requests{got: make(map[string]*http.Request), body: make(map[string]string)}
	r.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[name], r.body[name] = req, string(body)
		_, _ = io.WriteString(rw, "ok")
	}))
	t.Cleanup(r.server.Close)
	return r
}

// wait returns the request to a path that begins with name.
func (r *requests) wait(t *testing.T, name string) (*http.Request, string) {
	t.Helper()
	eventually(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.got[name] == nil {
			return fmt.Errorf("no request for %s", name)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[name], r.body[name]
}

// discordStandIn serves one Discord webhook, and records the requests.
type discordStandIn struct {
	server *httptest.Server

	mu    sync.Mutex
	gone  bool
	asked []string
}

func newDiscordStandIn(t *testing.T) *discordStandIn {
	t.Helper()
	d := &discordStandIn{}
	d.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asked = append(d.asked, r.Method+" "+r.URL.Path)
		rw.Header().Set("Content-Type", "application/json")
		if d.gone {
			rw.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprintf(rw, `{"message": "Unknown Webhook %s", "code": 10015}`, r.URL.Path)
			return
		}
		_, _ = rw.Write([]byte(`{"id": "123456789012345678", "name": "Treats", "token": "canary-of-discord-0123456789"}`))
	}))
	t.Cleanup(d.server.Close)
	return d
}

func (d *discordStandIn) sink() *sinkSettings {
	const path = "/api/webhooks/123456789012345678/canary-of-discord-0123456789"
	return &sinkSettings{Type: "discord", receiverSettings: receiverSettings{URL: d.server.URL + path}}
}
