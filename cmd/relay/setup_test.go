package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/web/webtest"
)

// fill is an expression that is true once it has entered a text into an input.
func fill(id, text string) string {
	return "(() => { const e = document.getElementById('" + id + "'); if (!e) return false; e.value = " + quoteJS(text) +
		"; return e.dispatchEvent(new Event('input', { bubbles: true })); })()"
}

// press is an expression that is true once it has pressed the button or chosen the option with a text. It waits for the work of another button.
func press(selector, text string) string {
	return "(() => { const e = [...document.querySelectorAll('" + selector + "')].find((e) => e.innerText.includes(" + quoteJS(text) +
		")); if (!e || e.disabled) return false; e.click(); return true; })()"
}

// An emptyFolder is one in which relay makes its first configuration.
type emptyFolder struct {
	t   *testing.T
	dir string
}

func newEmptyFolder(t *testing.T) *emptyFolder {
	t.Helper()
	if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", config.DefaultHTTPListen); err == nil { // otherwise it is taken already
		t.Cleanup(func() { _ = l.Close() })
	}
	return &emptyFolder{t, t.TempDir()}
}

// config is the path of the configuration.
func (f *emptyFolder) config() string { return filepath.Join(f.dir, "relay.yaml") }

// relay runs a relay command in the folder, for a user without a configuration elsewhere.
func (f *emptyFolder) relay(args ...string) *process {
	f.t.Helper()
	p := prepareRelay(f.t, append(args, "--data-dir", filepath.Join(f.dir, "data"), "--log-level", "debug")...)
	p.cmd.Dir = f.dir
	p.start([]string{"HOME=" + f.dir, "XDG_CONFIG_HOME=" + filepath.Join(f.dir, "etc"), "RELAY_CONFIG="})
	return p
}

// dashboard starts the setup, and returns the link to its page.
func (f *emptyFolder) dashboard() (p *process, link string) {
	f.t.Helper()
	p = f.relay("dashboard", "--no-browser")
	return p, p.out.find(f.t, "#link=")
}

// TestSetup goes from an empty folder to a test treat in an overlay, in a real browser.
func TestSetup(t *testing.T) {
	browser := webtest.Start(t)
	const clientSecret = "hunter2-client"
	requests := make(chan string, 16)
	bot := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests <- r.URL.Path + " " + r.Header.Get("Webhook-Id")
	}))
	t.Cleanup(bot.Close)
	hook := bot.URL + "/hunter2-hook"
	folder := newEmptyFolder(t)
	dir, relay := folder.dir, folder.relay
	p, link := folder.dashboard()
	page := browser.Open(link, webtest.Options{Width: 1280, Height: 900})
	page.WaitFor(hasText("Set up relay"))
	page.Screenshot("setup-provider")
	page.WaitFor(press("button", "Continue"))
	page.WaitFor(hasText("http://localhost:8919"))
	page.WaitFor(fill("setup-client_secret", clientSecret))
	page.WaitFor(press("button", "Continue"))
	page.WaitFor("document.activeElement.id === 'setup-client_id' && document.activeElement.ariaInvalid === 'true'")
	page.Screenshot("setup-fault")
	page.WaitFor(fill("setup-client_id", "4711"))
	page.WaitFor(press("button", "Continue"))
	page.WaitFor(press("label", "Webhook"))
	page.WaitFor("document.getElementById('setup-webhook-url')")
	page.WaitFor(fill("setup-webhook-url", hook))
	page.Screenshot("setup-treats")
	page.WaitFor(press("button", "Continue"))
	page.WaitFor(hasText("client_secret_file"))
	page.Screenshot("setup-review")
	if text := page.Text("document.body.innerText"); strings.Contains(text, "hunter2") {
		t.Errorf("the page shows a secret:\n%s", text)
	}
	page.WaitFor(press("button", "Write the file"))
	page.WaitFor(hasText("Getting started"))
	p.err.find(t, "relay runs")
	checkWritten(t, dir, map[string]string{"mystream-client-secret.txt": clientSecret, "bot-url.txt": hook})

	page.WaitFor(press("button", "Make the address"))
	page.WaitFor("document.querySelector('.start .secret-url code')")
	overlay := browser.Open(page.Text("document.querySelector('.start .secret-url code').innerText"), webtest.Options{})
	page.WaitFor(press(".start button", "Send a test treat"))
	overlay.WaitFor(hasText("Pizza Margherita"))
	if got := <-requests; !strings.HasPrefix(got, "/hunter2-hook tst_") {
		t.Errorf("the webhook receives %s", got)
	}
	page.WaitFor("[...document.querySelectorAll('.arrivals li')].some((e) => /Overlay main[^]*(On screen|Shown)/.test(e.innerText))")
	page.Screenshot("setup-started")
	page.WaitFor(press(".start button", "Dismiss"))
	page.WaitFor("!(" + hasText("Getting started") + ")")
	for _, line := range page.Console() {
		if !strings.Contains(line, "Failed to load resource") { // such as the answer 400 to what was entered wrong
			t.Errorf("the console has %s", line)
		}
	}

	if check := relay("config", "check"); check.exit() != 0 {
		t.Errorf("relay config check says %s", check.err.text())
	}
	p.stop()
	if out := p.err.text() + p.out.text(); strings.Contains(out, "hunter2") {
		t.Errorf("a secret is in the output:\n%s", out)
	}
	// Nobody has logged in yet, and relay alone would not start. The dashboard leads through the login.
	again := relay("dashboard", "--no-browser")
	page = browser.Open(again.out.find(t, "#link="), webtest.Options{})
	page.WaitFor(hasText("mystream"))
	again.stop()
}

// checkWritten checks the files of a setup.
func checkWritten(t *testing.T, dir string, secrets map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "relay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") || !regexp.MustCompile(`(?m)^http:\n  listen: 127\.0\.0\.1:\d+$`).Match(text) ||
		!strings.Contains(string(text), "# How long the journal keeps events") {
		t.Errorf("the configuration is\n%s", text)
	}
	secrets["relay.yaml"] = strings.TrimSpace(string(text))
	for name, want := range secrets {
		path := filepath.Join(dir, name)
		got, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s has %q, %v", name, got, err)
		}
		if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
	}
}

// TestDashboardWithoutRelay says what to do, whatever the configuration is.
func TestDashboardWithoutRelay(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "#link=", // the setup
		"# nothing yet\n":     "#link=",
		"accounts: [\n":       "relay.yaml",
		"acounts:\n  a: {}\n": "acounts",
		setupConfigOff:        "start it with relay",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "relay.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		start := func() *process {
			p := prepareRelay(t, "dashboard", "--no-browser", "--data-dir", filepath.Join(dir, "data"))
			p.cmd.Dir = dir
			p.start([]string{"HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "etc"), "RELAY_CONFIG="})
			return p
		}
		p := start()
		if want != "#link=" {
			if code := p.exit(); code == 0 || !strings.Contains(p.err.text(), want) {
				t.Errorf("%q: exit code %d: %s", text, code, p.err.text())
			}
			continue
		}
		p.out.find(t, want)
		if second := start(); second.exit() == 0 || !strings.Contains(second.err.text(), "another relay dashboard") {
			t.Errorf("a second setup says %s", second.err.text())
		}
		p.stop()
	}
}

const setupConfigOff = "accounts:\n  a: {provider: treatstream, client_id: x, client_secret: y}\nsinks:\n  console: {type: stdout}\nhttp: {listen: off}\n"
