package setup_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/setup"
	"github.com/treatrelay/relay/sinks"
)

// clue is part of every secret of the tests.
const clue = "hunter2"

type world struct {
	t     *testing.T
	path  string
	setup *setup.Setup
	log   bytes.Buffer
	said  string // all answers
}

func noVariables(string) (string, bool) { return "", false }

func newWorld(t *testing.T, listen string) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "etc", "relay.yaml")}
	var err error
	w.setup, err = setup.New(setup.Config{Path: w.path, Listen: listen, Getenv: noVariables, Log: zerolog.New(&w.log)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// send sends a request, and decodes the answer.
func (w *world) send(method, path, body string, into any) int {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.setup.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(w.t.Context(), method, api.Root+path, strings.NewReader(body)))
	w.said += rec.Body.String()
	if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
	}
	return rec.Code
}

func (w *world) post(order api.SetupRequest, into any) int {
	w.t.Helper()
	body, err := json.Marshal(order)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.send(http.MethodPost, "/setup", string(body), into)
}

// noSecrets checks that neither an answer nor the log has a secret.
func (w *world) noSecrets() {
	w.t.Helper()
	if all := w.said + w.log.String(); strings.Contains(all, clue) || strings.Contains(all, "whsec_") {
		w.t.Errorf("a secret is in %s", all)
	}
}

// files returns the names of the files that were written.
func (w *world) files() (names []string) {
	all, _ := os.ReadDir(filepath.Dir(w.path))
	for _, f := range all {
		names = append(names, f.Name())
	}
	return names
}

func valid() api.SetupRequest {
	return api.SetupRequest{Provider: "treatstream", Account: "mine", ClientID: "4711", ClientSecret: clue, Overlay: true}
}

// everything has a sink of each type.
func everything() api.SetupRequest {
	order := valid()
	urls := map[string]string{
		"webhook": "http://127.0.0.1:1/" + clue, "discord": "https://discord.com/api/webhooks/1/" + clue, "slack": "https://hooks.slack.com/services/T/B/" + clue,
	}
	for _, typ := range sinks.Types() {
		order.Sinks = append(order.Sinks, api.SetupDestination{Type: typ, URL: urls[typ]})
	}
	return order
}

// A setup writes a valid configuration for each provider, with its secrets in files that only the user can read.
func TestWrites(t *testing.T) {
	orders := map[string]api.SetupRequest{"everything": everything()}
	for _, p := range provider.All() {
		order := valid()
		order.Provider, order.Overlay, order.BaseURL = p.Name, p.Endpoints.Socket != "", "https://api.example.com"
		orders[p.Name] = order
	}
	public := valid()
	public.Provider, public.ClientSecret, public.Overlay = "camstreamer", "", false
	orders["public client"] = public
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "127.0.0.1:9999")
			order.Check = true
			var shown, written api.SetupResult
			if code := w.post(order, &shown); code != http.StatusOK || len(w.files()) > 0 {
				t.Fatalf("the check answers %d and writes %v: %s", code, w.files(), w.said)
			}
			order.Check = false
			if code := w.post(order, &written); code != http.StatusOK {
				t.Fatalf("it answers %d: %s", code, w.said)
			}
			<-w.setup.Done()
			text, err := os.ReadFile(w.path)
			if err != nil || string(text) != shown.Text || written.Text != shown.Text || written.Path != w.path {
				t.Errorf("it wrote %s, %v after it showed %s", text, err, shown.Text)
			}
			cfg, err := config.Check(w.path, noVariables)
			if err != nil || len(cfg.Warnings) > 0 || len(cfg.Sinks) != len(order.Sinks) || cfg.HTTP.Listen != "127.0.0.1:9999" || (len(cfg.Overlays) == 1) != order.Overlay {
				t.Errorf("it is %v, %v", cfg, err)
			}
			if want := append(slices.Clone(written.Files), "relay.yaml"); len(w.files()) != len(want) {
				t.Errorf("the folder has %v, want %v", w.files(), want)
			}
			for _, file := range w.files() {
				info, err := os.Stat(filepath.Join(filepath.Dir(w.path), file))
				if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", file, info.Mode(), err)
				}
			}
			w.noSecrets()
		})
	}
}

func TestDefaultAddressIsAComment(t *testing.T) {
	w := newWorld(t, config.DefaultHTTPListen)
	var result api.SetupResult
	if code := w.post(valid(), &result); code != http.StatusOK || !strings.Contains(result.Text, "\n# http:\n#   listen: "+config.DefaultHTTPListen+"\n") {
		t.Errorf("it answers %d: %s", code, w.said)
	}
}

// Every fault names its field, and quotes no secret.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		field string
		with  func(*api.SetupRequest)
	}{
		{"provider", func(o *api.SetupRequest) { o.Provider = "treatstram" }},
		{"account", func(o *api.SetupRequest) { o.Account = "../mine" }},
		{"account", func(o *api.SetupRequest) { o.Account = "" }},
		{"client_id", func(o *api.SetupRequest) { o.ClientID = " " }},
		{"client_id", func(o *api.SetupRequest) { o.ClientID = "a\nb: c" }},
		{"client_id", func(o *api.SetupRequest) { o.ClientID = "${HOME}" }},
		{"client_secret", func(o *api.SetupRequest) { o.ClientSecret = "" }},
		{"client_secret", func(o *api.SetupRequest) { o.ClientSecret = clue + "\n" + clue }},
		{"base_url", func(o *api.SetupRequest) { o.Provider, o.BaseURL = "client-credentials", "ftp://x" }},
		{"base_url", func(o *api.SetupRequest) { o.Provider = "client-credentials" }},
		{"sinks", func(o *api.SetupRequest) { o.Overlay = false }},
		{"sinks", func(o *api.SetupRequest) { o.Sinks = []api.SetupDestination{{Type: "stdot"}} }},
		{"sinks", func(o *api.SetupRequest) { o.Sinks = []api.SetupDestination{{Type: "stdout"}, {Type: "stdout"}} }},
		{"sinks.discord.url", func(o *api.SetupRequest) { o.Sinks = []api.SetupDestination{{Type: "discord"}} }},
		{"sinks.discord.url", func(o *api.SetupRequest) {
			o.Sinks = []api.SetupDestination{{Type: "discord", URL: "https://x/" + clue}}
		}},
		{"sinks.slack.url", func(o *api.SetupRequest) { o.Sinks = []api.SetupDestination{{Type: "slack", URL: clue}} }},
		{"sinks.webhook.url", func(o *api.SetupRequest) { o.Sinks = []api.SetupDestination{{Type: "webhook", URL: "ftp://" + clue}} }},
	} {
		w := newWorld(t, config.DefaultHTTPListen)
		order := valid()
		test.with(&order)
		var p api.Problem
		code := w.post(order, &p)
		if code != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0].Field != test.field || p.Errors[0].Detail == "" {
			t.Errorf("%s: it answers %d: %s", test.field, code, w.said)
		}
		if w.files() != nil {
			t.Errorf("%s: it writes %v", test.field, w.files())
		}
		w.noSecrets()
	}
	w := newWorld(t, config.DefaultHTTPListen)
	for _, body := range []string{"", "{", `{"client_secret":1}`, `{"` + clue + `":1}`, `{"provider":"` + strings.Repeat("x", 1<<20) + `"}`} {
		if code := w.send(http.MethodPost, "/setup", body, &api.Problem{}); code != http.StatusBadRequest {
			t.Errorf("%.40q: it answers %d", body, code)
		}
	}
	w.noSecrets()
}

// No file is ever replaced, and none is left behind if relay.yaml is not written.
func TestNeverReplaces(t *testing.T) {
	for _, name := range []string{"relay.yaml", "bot-secret.txt"} {
		w := newWorld(t, config.DefaultHTTPListen)
		if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(filepath.Dir(w.path), name)
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		var p api.Problem
		check := everything()
		check.Check = true
		if code := w.post(check, &p); code < 400 || !strings.Contains(p.Detail, path) {
			t.Errorf("%s: the check before answers %d: %s", name, code, w.said)
		}
		code := w.post(everything(), &p)
		if code < 400 || !strings.Contains(p.Detail, path) || p.Fix == "" {
			t.Errorf("%s: it answers %d: %s", name, code, w.said)
		}
		if text, err := os.ReadFile(path); string(text) != "mine" || len(w.files()) != 1 {
			t.Errorf("%s is %q, %v; the folder has %v", name, text, err, w.files())
		}
		w.noSecrets()
	}
}

// A folder that cannot be written to is known before the last step.
func TestFolderThatCannotBeWritten(t *testing.T) {
	w := newWorld(t, config.DefaultHTTPListen)
	if err := os.WriteFile(filepath.Dir(w.path), []byte("a file, no folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := valid()
	check.Check = true
	var p api.Problem
	if code := w.post(check, &p); code < 400 || !strings.Contains(p.Detail, "folder of the configuration") || p.Fix == "" {
		t.Errorf("it answers %d: %s", code, w.said)
	}
}

// Of several requests at the same time one writes.
func TestWritesOnce(t *testing.T) {
	w := newWorld(t, config.DefaultHTTPListen)
	body, err := json.Marshal(valid())
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]int, 8)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() {
			rec := httptest.NewRecorder()
			w.setup.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.Root+"/setup", bytes.NewReader(body)))
			codes[i] = rec.Code
		})
	}
	all.Wait()
	slices.Sort(codes)
	if fmt.Sprint(codes) != "[200 409 409 409 409 409 409 409]" {
		t.Errorf("they answer %v", codes)
	}
}

// Everything else waits for the configuration.
func TestBefore(t *testing.T) {
	w := newWorld(t, config.DefaultHTTPListen)
	var s api.Status
	if code := w.send(http.MethodGet, "/status", "", &s); code != http.StatusOK || s.State != api.StateSetup {
		t.Errorf("the status is %d %s", code, w.said)
	}
	var state api.Setup
	if w.send(http.MethodGet, "/setup", "", &state); state.State != api.SetupNeeded || state.Path != w.path || len(state.Providers) != len(provider.All()) {
		t.Errorf("the setup is %+v", state)
	}
	var p api.Problem
	if code := w.send(http.MethodGet, "/overlays", "", &p); code != http.StatusServiceUnavailable || !api.Is(&p, api.ProblemSetup) {
		t.Errorf("another request answers %d %s", code, w.said)
	}
	w.post(valid(), &api.SetupResult{})
	if w.send(http.MethodGet, "/setup", "", &state); state.State != api.SetupDone {
		t.Errorf("then the setup is %+v", state)
	}
}

// An empty configuration is none. Its comments stay.
func TestEmptyConfiguration(t *testing.T) {
	for name, one := range map[string]struct {
		text   string
		needed bool
	}{
		"empty": {"", true}, "blank": {"\n \n", true}, "comments": {"---\n# mine, not yours --- really\r\n  # more", true},
		"content": {"# mine\naccounts:\n", false}, "broken": {"{", false},
	} {
		w := newWorld(t, config.DefaultHTTPListen)
		if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.path, []byte(one.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if setup.Needed(w.path) != one.needed {
			t.Errorf("%s: Needed is %t", name, !one.needed)
		}
		var result api.SetupResult
		code := w.post(valid(), &result)
		text, err := os.ReadFile(w.path)
		switch {
		case err != nil:
			t.Error(err)
		case !one.needed && (code != http.StatusConflict || string(text) != one.text):
			t.Errorf("%s: it answers %d, the file is %q", name, code, text)
		case one.needed && (code != http.StatusOK || string(text) != result.Text || strings.Contains(one.text, "#") != strings.HasPrefix(result.Text, "# mine, not yours --- really\n  # more\n\n")):
			t.Errorf("%s: it answers %d, the file is %q", name, code, text)
		}
	}
}
