package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/pipeline"
)

// nodeProgram copies a Node program of this repository next to the npm packages of the peers, and returns its command line.
func nodeProgram(t *testing.T, path ...string) []string {
	t.Helper()
	node, peers := peertest.Require(t)
	text, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(peers, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, path[len(path)-1])
	if err := os.WriteFile(program, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{node, program}
}

const (
	botToken   = "MTIzNDU2.planted.bot-token"
	botChannel = "123456789012345678"
)

// discordAPI implements the part of Discord's API that posts messages, as strictly as its documentation ("Create Message",
// "Rate Limits"): five messages in a window, and occasionally a refusal for a limit that no header announces.
type discordAPI struct {
	t      *testing.T
	server *httptest.Server
	hang   int // the message after which one answer is withheld
	hangs  chan struct{}

	mu        sync.Mutex
	left      int
	reset     time.Time
	requests  int
	messages  []string
	nonces    map[string]bool
	repeats   int       // messages with the nonce of an earlier one
	notBefore time.Time // of the next request, as the last refusal said
	refusals  int
}

func newDiscordAPI(t *testing.T) *discordAPI {
	t.Helper()
	d := &discordAPI{t: t, hang: -1, hangs: make(chan struct{}), nonces: make(map[string]bool)}
	d.server = httptest.NewServer(d)
	t.Cleanup(d.server.Close)
	return d
}

func (d *discordAPI) posted() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.messages)
}

// hangAfter withholds one answer as soon as there are n messages.
func (d *discordAPI) hangAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hang = n
}

func (d *discordAPI) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the bot was killed
	}
	status, answer, hangs := d.answer(rw.Header(), req, body)
	if hangs {
		close(d.hangs)
		<-req.Context().Done()
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(answer)
}

func (d *discordAPI) answer(header http.Header, req *http.Request, body []byte) (status int, answer any, hangs bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if now.Before(d.notBefore) {
		d.t.Errorf("a request %v before the time that the last refusal told", d.notBefore.Sub(now))
	}
	d.requests++
	if !now.Before(d.reset) {
		d.left, d.reset = 5, now.Add(200*time.Millisecond)
	}
	if d.left == 0 || d.requests%13 == 0 {
		if d.left == 0 {
			d.t.Error("a request into an empty bucket")
		}
		d.refusals++
		d.notBefore = now.Add(150 * time.Millisecond)
		header.Set("Retry-After", "1")
		return http.StatusTooManyRequests, map[string]any{"message": "You are being rate limited.", "retry_after": 0.15, "global": true}, false
	}
	d.left--
	header.Set("X-RateLimit-Limit", "5")
	header.Set("X-RateLimit-Remaining", strconv.Itoa(d.left))
	header.Set("X-RateLimit-Reset-After", strconv.FormatFloat(d.reset.Sub(now).Seconds(), 'f', 3, 64))
	switch {
	case req.Header.Get("Authorization") != "Bot "+botToken:
		return http.StatusUnauthorized, map[string]any{"message": "401: Unauthorized", "code": 0}, false
	case req.Method != http.MethodPost || req.URL.RequestURI() != "/api/v10/channels/"+botChannel+"/messages":
		return http.StatusNotFound, map[string]any{"message": "404: Not Found", "code": 0}, false
	case req.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(req.Header.Get("User-Agent"), "DiscordBot ("):
		d.t.Errorf("header %v", req.Header)
	}
	var m struct {
		Content  string `json:"content"`
		Mentions struct {
			Parse []string `json:"parse"`
		} `json:"allowed_mentions"`
		Nonce   string `json:"nonce"`
		Enforce bool   `json:"enforce_nonce"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&m)
	if n := len(utf16.Encode([]rune(m.Content))); err != nil || n < 1 || n > 2000 || len(m.Nonce) > 25 {
		d.t.Errorf("the body %s: %v", body, err)
		return http.StatusBadRequest, map[string]any{"message": "Invalid Form Body", "code": 50035}, false
	}
	if m.Mentions.Parse == nil || len(m.Mentions.Parse) > 0 {
		d.t.Errorf("mentions are not forbidden in %s", body)
	}
	if d.nonces[m.Nonce] {
		d.repeats++
	}
	if !m.Enforce || !d.nonces[m.Nonce] {
		d.messages = append(d.messages, m.Content)
	}
	d.nonces[m.Nonce] = true
	if hangs = len(d.messages) == d.hang; hangs {
		d.hang = -1
	}
	return http.StatusOK, map[string]any{"id": strconv.Itoa(len(d.messages)), "content": m.Content, "nonce": m.Nonce}, hangs
}

// The bot in examples/discord posts every treat once and in order, although Discord rate-limits it and it is killed after posting a message,
// before it received the answer. It refuses requests that relay did not sign, and posts a repeated event once.
func TestDiscordBot(t *testing.T) {
	command := nodeProgram(t, "examples", "discord", "bot.mjs")
	discord := newDiscordAPI(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.configure(func(s *settings) { s.Sinks["bot"].URL = "http://" + address + "/treats" })
	env := []string{
		"WEBHOOK_SECRET=" + webhookSecret, "DISCORD_TOKEN=" + botToken, "DISCORD_CHANNEL=" + botChannel,
		"DISCORD_API=" + discord.server.URL + "/api/v10", "LISTEN=" + address, "BOT_FILE=" + filepath.Join(w.dir, "treats.jsonl"),
	}
	posted := func(n int) []string {
		t.Helper()
		eventually(t, func() error {
			if got := len(discord.posted()); got < n {
				return fmt.Errorf("%d messages posted, want %d", got, n)
			}
			return nil
		})
		return discord.posted()
	}

	first := startProgram(t, command, env)
	first.err.find(t, "listening on")
	p := w.start("--sink", "bot", "--sink", "console")
	w.connected()
	discord.hangAfter(8)
	w.live.emit(0, 20)
	select {
	case <-discord.hangs:
	case <-time.After(patience):
		t.Fatalf("%d messages posted, want 8", len(discord.posted()))
	}
	_ = first.cmd.Process.Kill()
	<-first.done
	w.live.emit(20, 35)
	holds(t, "stdout", p.out, 0, 35)
	p.err.find(t, "sink is down")
	second := startProgram(t, command, env)
	second.err.find(t, "listening on")
	w.live.emit(35, 50)
	holds(t, "stdout", p.out, 0, 50)
	posted(50)

	last := events(t, p.out.get())[49]
	line, err := last.Line()
	if err != nil {
		t.Fatal(err)
	}
	hostile := last
	hostile.ID, hostile.Data.Sender, hostile.Data.Anonymous = "trt_06H003C601TTVEEHS54BW8N74C", nil, true
	text := "<@1> @everyone **bold** https://evil.example `x`\n# big \x00 \u202e" + strings.Repeat("🍕", 5000)
	hostile.Data.Message = &text
	odd, err := hostile.Line()
	if err != nil {
		t.Fatal(err)
	}
	wh, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		body   []byte
		signed []byte
		at     time.Time
		status int
	}{
		{"again", line, line, time.Now(), http.StatusNoContent},
		{"tampered", []byte(strings.Replace(string(odd), "bold", "evil", 1)), odd, time.Now(), http.StatusUnauthorized},
		{"old", odd, odd, time.Now().Add(-time.Hour), http.StatusUnauthorized},
		{"hostile", odd, odd, time.Now(), http.StatusNoContent},
	} {
		var e pipeline.Event
		if err := json.Unmarshal(c.signed, &e); err != nil {
			t.Fatal(err)
		}
		signature, err := wh.Sign(e.ID, c.at, c.signed)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/treats", strings.NewReader(string(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", e.ID)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(c.at.Unix(), 10))
		req.Header.Set("webhook-signature", signature)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.name, resp.StatusCode, c.status)
		}
	}
	got := posted(51)
	for i, content := range got[:50] {
		if !strings.HasPrefix(content, fmt.Sprintf("**Viewer** sent **%s**\n> enjoy", title(i))) {
			t.Errorf("message %d is %q", i, content)
		}
	}
	const shown = `**Somebody** sent **Pizza 00049**` + "\n" +
		`> \<\@1\> \@everyone \*\*bold\*\* https\:\/\/evil\.example \` + "`x" + `\` + "`" + ` \# big`
	if len(got) != 51 || !strings.HasPrefix(got[50], shown) {
		t.Errorf("%d messages, the last is %.200q", len(got), got[len(got)-1])
	}
	discord.mu.Lock()
	refusals, repeats := discord.refusals, discord.repeats
	discord.mu.Unlock()
	if refusals < 3 {
		t.Errorf("%d refusals, so little was tried", refusals)
	}
	if repeats != 1 {
		t.Errorf("%d messages were sent twice, want only the one whose answer the bot did not live to hear", repeats)
	}
	p.stop()
	for _, bot := range []*process{first, second} {
		if text := bot.err.text() + bot.out.text(); strings.Contains(text, botToken) || strings.Contains(text, webhookSecret) {
			t.Errorf("the bot prints a secret:\n%s", text)
		}
	}
}
