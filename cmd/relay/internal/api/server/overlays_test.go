package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/api/server"
	"github.com/treatrelay/relay/cmd/relay/internal/overlays"
	"github.com/treatrelay/relay/internal/stacktest"
)

// What is wrong with a request about an overlay is said in one plain line.
func TestOverlayRequests(t *testing.T) {
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: t.TempDir(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	stack.Run(t)
	service, err := overlays.Open(t.Context(), overlays.Config{Journal: stack.Journal, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	handler := server.New(server.Config{Pages: server.Pages{
		Overlays: func(context.Context) (server.Overlays, error) { return service, nil },
		Accounts: func() []string { return []string{"a", "b"} },
		PageURL:  func() string { return "http://127.0.0.1:8350" },
	}})
	ask := func(method, path, body string, into any) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, api.Root+"/overlays/main/"+path, strings.NewReader(body)))
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %v in %s", path, err, w.Body)
		}
	}
	for account, warned := range map[string]bool{"a": true, "": false} {
		var key api.NewKey
		if ask(http.MethodPost, "keys", `{"account":"`+account+`"}`, &key); (key.Warning != "") != warned || key.Key == "" {
			t.Errorf("a key for %q: warning %q", account, key.Warning)
		}
	}
	for _, c := range []struct{ method, path, body, want string }{
		{http.MethodPut, "layout", `{"x":-1,"y":96,"width":10,"height":10,"align":"left"}`, "position.x: -1% is outside the page; use 0 to 95; position.y: 96% is outside the page; use 0 to 95; position.height: 10% is outside the page; use 5 to 5"},
		{http.MethodPut, "layout", `{"x":0.5}`, "read the request: x: want a whole number, not number 0.5"},
		{http.MethodPut, "layout", `{"align":1}`, "read the request: align: want a text, not number"},
		{http.MethodPost, "again", `{"number":0}`, "name the treat by its number in the journal, from 1 on, or by its id"},
	} {
		var p struct{ Detail string }
		if ask(c.method, c.path, c.body, &p); p.Detail != c.want {
			t.Errorf("%s %s: %q, want %q", c.path, c.body, p.Detail, c.want)
		}
	}
}
