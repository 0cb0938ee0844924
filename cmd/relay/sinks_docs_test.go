package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// docs/sinks.md is held to what relay does: its configurations are run, and what they send is compared with what it shows.

const (
	sinksDoc   = "docs/sinks.md"
	privateKey = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	sampleTime = "2026-11-21 21:40:16" // of the treat that the documentation shows
)

const sampleTreat = `{"sender":"Captain Crumb","sender_type":"twitch","receiver":"streamer","receiver_type":"twitch",` +
	`"title":"Fish 'n' chips","message":"dinner is served","date_created":"` + sampleTime + `"}`

// documentedVariable is what stands for a variable in the configurations of the documentation.
func documentedVariable(name string) (string, bool) {
	if strings.HasSuffix(name, "PRIVATE_KEY") {
		return privateKey, true
	}
	return webhookSecret, true
}

// documentedFiles makes the files that a configuration of the documentation names.
func documentedFiles(t *testing.T, dir, config string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)_file: ([a-z.]+)$`).FindAllStringSubmatch(config, -1) {
		if err := writePrivate(filepath.Join(dir, m[1]), []byte(webhookSecret+"\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// marked returns what stands in the fenced block under <!-- mark -->.
func marked(t *testing.T, text, mark string) string {
	t.Helper()
	block := regexp.MustCompile("(?s)<!-- " + regexp.QuoteMeta(mark) + " -->\n```[a-z]+\n(.*?)```\n").FindStringSubmatch(text)
	if block == nil {
		t.Fatalf("there is no fenced block under <!-- %s -->", mark)
	}
	return block[1]
}

// documentedSink returns the example of the sink of that name, as it stands under sinks, with another URL.
func documentedSink(t *testing.T, name, url string) string {
	t.Helper()
	for _, block := range fenced(readDoc(t, sinksDoc), "yaml") {
		m := regexp.MustCompile(`(?m)^  ` + name + `:.*\n(?:    .*\n)*`).FindString(block)
		if m != "" {
			return strings.TrimSpace(regexp.MustCompile(`url: https?://[^/]+`).ReplaceAllString(m, "url: "+url))
		}
	}
	t.Fatalf("%s has no example of a sink %s", sinksDoc, name)
	return ""
}

// plainly replaces what differs from run to run.
func plainly(text string) string {
	for _, r := range [][2]string{
		{`trt_[0-9A-Z]{26}`, "EVENT"},
		{`alt_[0-9A-Za-z]{22}`, "ALERT"},
		{`"recordedtime":"[^"]+"`, `"recordedtime":"TIME"`},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?`, "TIME"},
		{`127\.0\.0\.1:\d+`, "HOST"},
		{`; (\d+(\.\d+)?(ms|µs|s));`, "; TOOK;"},
		{`; \d+ events at once`, ""},
		{`\d+ (s|min) ago`, "N ago"},
		{`User-Agent: relay/\S+`, "User-Agent: relay/VERSION"},
		{`Webhook-Timestamp: \d+`, "Webhook-Timestamp: SECONDS"},
		{`v1,[A-Za-z0-9+/=]+`, "v1,SIGNATURE"},
		{` +`, " "},
		{`(?m) $`, ""},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text
}

// shows compares what the documentation shows with what was seen, but for what differs from run to run.
func shows(t *testing.T, what, documented, actual string) {
	t.Helper()
	if plainly(documented) != plainly(actual) {
		t.Errorf("%s shows for %s\n%s\nwhich is\n%s", sinksDoc, what, documented, actual)
	}
}

// indent makes JSON readable as the documentation has it.
func indent(t *testing.T, body string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(body), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	// relay writes these escaped in JSON strings, as it may.
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(out.String()) + "\n"
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

// What the examples of docs/sinks.md send is what it shows.
func TestDocumentedDeliveries(t *testing.T) {
	text := readDoc(t, sinksDoc)
	w := newWorld(t, simulatedRealtime)
	w.login()
	web := newRequests(t)
	for _, name := range []string{"bot", "say", "form", "chat", "fancy", "team"} {
		example := documentedSink(t, name, web.server.URL+"/"+name)
		if name == "bot" {
			example = strings.Replace(example, "bot:", "documented:", 1) // there is another one
		}
		w.addSink(example)
	}
	p := startRelay(t, append(w.env(), "WEBHOOK_SECRET="+webhookSecret, "CHAT_KEY=key"), "--config", w.config, "--data-dir", filepath.Join(w.dir, "data"))
	w.connected()
	overlay := w.overlayMessages()
	w.sim.EmitRaw([]byte(sampleTreat))

	request, body := web.wait(t, "bot")
	header := "POST /treats HTTP/1.1\nHost: bot.example\n"
	for _, key := range []string{"Content-Type", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		header += key + ": " + request.Header.Get(key) + "\n"
	}
	if got := request.Method + " " + strings.TrimPrefix(request.URL.Path, "/bot") + " " + request.Proto; !strings.HasPrefix(header, got+"\n") {
		t.Errorf("the request is %s", got)
	}
	sample := marked(t, text, "sample: webhook")
	shows(t, "a webhook", sample, header+"\n"+body+"\n")
	verifiesSample(t, sample)

	msg := <-overlay
	shows(t, "NATS", marked(t, text, "sample: nats"), msg.Subject+"\nNats-Msg-Id: "+msg.Header.Get(nats.MsgIdHdr)+"\n\n"+string(msg.Data)+"\n")
	for _, name := range []string{"chat", "fancy", "team"} {
		request, body := web.wait(t, name)
		shows(t, "the sink "+name, marked(t, text, "sample: "+name), indent(t, body))
		if name != "team" && request.URL.Query().Get("wait") != "true" {
			t.Errorf("%s: the query is %s", name, request.URL.RawQuery)
		}
	}
	request, body = web.wait(t, "say")
	shows(t, "the sink say", marked(t, text, "sample: say"), body)
	if request.Header.Get("X-Api-Key") != "key" || request.Header.Get("Content-Type") != "application/json" {
		t.Errorf("say: header %v", request.Header)
	}
	_, body = web.wait(t, "form")
	shows(t, "the sink form", marked(t, text, "sample: form"), body+"\n")
	if values, err := url.ParseQuery(body); err != nil || values.Get("text") != "FISH 'N' CHIPS from Captain Crumb: dinner i…" {
		t.Errorf("form: %v, %v", values, err)
	}
	p.stop()
}

// verifiesSample wants the signature of the sample to be that of its secret.
func verifiesSample(t *testing.T, sample string) {
	t.Helper()
	head, body, _ := strings.Cut(sample, "\n\n")
	header := http.Header{}
	for line := range strings.SplitSeq(head, "\n") {
		if key, value, ok := strings.Cut(line, ": "); ok {
			header.Set(key, value)
		}
	}
	wh, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	body = strings.TrimSuffix(body, "\n")
	if err := wh.VerifyIgnoringTimestamp([]byte(body), header); err != nil {
		at, _ := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
		signature, _ := wh.Sign(header.Get("webhook-id"), time.Unix(at, 0), []byte(body))
		t.Errorf("%s: the signature of the sample is not %s", sinksDoc, signature)
	}
}

// overlayMessages subscribes to what the overlay is published, as an overlay backend does.
func (w *world) overlayMessages() <-chan *nats.Msg {
	w.t.Helper()
	var login overlayLogin
	data, err := os.ReadFile(filepath.Join(w.dir, "data", overlayFile))
	if err == nil {
		err = json.Unmarshal(data, &login)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+w.natsAddr, nats.UserInfo(login.User, login.Password))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	messages := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe("treats.>", messages); err != nil {
		w.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return messages
}

// The programs that verify signatures are in docs/sinks.md as they are in testdata/verify. They take what a relay sends them, and
// neither another body nor an old one.
func TestDocumentedVerifiers(t *testing.T) {
	text := readDoc(t, sinksDoc)
	python := peertest.RequirePython(t)
	public := "whpk_" + base64.StdEncoding.EncodeToString(ed25519Key(t).Public().(ed25519.PublicKey))
	w := newWorld(t, simulatedRealtime)
	w.login()
	programs := map[string]*process{}
	addresses := map[string]string{}
	for _, name := range []string{"verify.go", "verify.mjs", "verify.py", "verify-ed25519.mjs"} {
		file := filepath.Join("testdata", "verify", name)
		if readDoc(t, file) != marked(t, text, "file: "+name) {
			t.Errorf("%s has another program than %s", sinksDoc, file)
		}
		var command []string
		switch filepath.Ext(name) {
		case ".go":
			binary := filepath.Join(t.TempDir(), "verify")
			if out, err := exec.Command("go", "build", "-o", binary, filepath.Join("..", "..", file)).CombinedOutput(); err != nil {
				t.Fatalf("build %s: %v\n%s", file, err, out)
			}
			command = []string{binary}
		case ".py":
			command = []string{python, filepath.Join("..", "..", file)}
		default:
			command = nodeProgram(t, "testdata", "verify", name)
		}
		p := startProgram(t, command, []string{"LISTEN=127.0.0.1:0", "WEBHOOK_SECRET=" + webhookSecret, "WEBHOOK_PUBLIC_KEY=" + public})
		_, addresses[name], _ = strings.Cut(p.err.find(t, "listening on "), "listening on ")
		programs[name] = p
		example := "bot"
		if name == "verify-ed25519.mjs" {
			example = "signed"
		}
		sink := regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(name, "-")
		w.addSink(strings.Replace(documentedSink(t, example, strings.TrimSuffix(addresses[name], "/")), example+":", sink+":", 1))
	}
	p := startRelay(t, append(w.env(), "WEBHOOK_SECRET="+webhookSecret, "BOT_PRIVATE_KEY="+privateKey), "--config", w.config, "--data-dir", filepath.Join(w.dir, "data"))
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)
	var ids []string
	for _, e := range events(t, p.out.get()) {
		ids = append(ids, e.ID)
	}
	for name, program := range programs {
		if got := atLeast(t, name, program.out, 5); !slices.Equal(got, ids) {
			t.Errorf("%s took %v, want %v", name, got, ids)
		}
	}
	p.stop()
	for name, address := range addresses {
		forge(t, name, address)
	}
}

func ed25519Key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(privateKey, "whsk_"))
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

// forge sends a receiver what relay has signed, changed or too late.
func forge(t *testing.T, name, address string) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	const body = `{"id":"trt_1","type":"treatrelay.treat.v1"}`
	now := time.Now()
	for _, c := range []struct {
		what, body string
		at         time.Time
		status     int
	}{
		{"as it was signed", body, now, http.StatusNoContent},
		{"tampered with", strings.Replace(body, "trt_1", "trt_2", 1), now, http.StatusUnauthorized},
		{"old", body, now.Add(-10 * time.Minute), http.StatusUnauthorized},
	} {
		signature, err := wh.Sign("trt_1", c.at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "ed25519") {
			signed := fmt.Appendf(nil, "trt_1.%d.%s", c.at.Unix(), body)
			signature = "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519Key(t), signed))
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", "trt_1")
		req.Header.Set("webhook-timestamp", strconv.FormatInt(c.at.Unix(), 10))
		req.Header.Set("webhook-signature", signature)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: what is %s gets status %d, want %d", name, c.what, resp.StatusCode, c.status)
		}
	}
}

// A secret is changed by the three steps of docs/sinks.md under a relay that runs, and no event is refused.
func TestDocumentedRotation(t *testing.T) {
	command := nodeProgram(t, "testdata", "verify", "verify.mjs")
	w := newWorld(t, simulatedRealtime)
	w.login()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	example := documentedSink(t, "rotated", "http://"+address)
	documentedFiles(t, w.dir, example)
	w.addSink(example)
	receive := func(secret string) *process {
		t.Helper()
		p := startProgram(t, command, []string{"LISTEN=" + address, "WEBHOOK_SECRET=" + secret})
		p.err.find(t, "listening on")
		return p
	}
	old := receive(webhookSecret)
	p := w.start("--sink", "rotated", "--sink", "console")
	w.connected()
	sent := 0
	send := func() {
		t.Helper()
		w.live.emit(sent, sent+1)
		sent++
	}
	steps := regexp.MustCompile("`(relay secrets [^`]*rotated[^`]*)`").FindAllStringSubmatch(readDoc(t, sinksDoc), -1)
	if len(steps) != 2 {
		t.Fatalf("%s has the steps %q", sinksDoc, steps)
	}
	step := func(i int) *process { return w.relay(exitOK, strings.Fields(steps[i][1])[1:]...) }
	send()
	atLeast(t, "the receiver", old.out, 1)
	fresh := strings.TrimSpace(step(0).out.text())
	eventually(t, func() error { // A receiver that has the old secret takes each event meanwhile.
		send()
		atLeast(t, "the receiver with the old secret", old.out, sent)
		if !strings.Contains(p.err.text(), "signing keys changed") {
			return fmt.Errorf("relay does not notice after %d events", sent)
		}
		return nil
	})
	send()
	atLeast(t, "the receiver with the old secret", old.out, sent)
	_ = old.cmd.Process.Kill()
	<-old.done

	changed := receive(fresh)
	send()
	atLeast(t, "the receiver with the new secret", changed.out, 1)
	step(1)
	eventually(t, func() error {
		send()
		if n := strings.Count(p.err.text(), "signing keys changed"); n < 2 {
			return fmt.Errorf("noticed %d times", n)
		}
		return nil
	})
	send()
	holds(t, "stdout", p.out, 0, sent)
	atLeast(t, "the receivers", changed.out, sent-len(old.out.get()))
	if got := len(old.out.get()) + len(changed.out.get()); got != sent || len(w.letters()) > 0 {
		t.Errorf("%d of %d events were taken; dead letters %+v", got, sent, w.letters())
	}
	p.stop()
}

// The alert in docs/sinks.md is of the published schema, and nothing of it is lost on its way through the type.
func TestDocumentedAlert(t *testing.T) {
	block := marked(t, readDoc(t, sinksDoc), "alert")
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../docs/alert.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(block))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := pipeline.Record{Line: []byte(block)}.Alert()
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	shows(t, "an alert", block, indent(t, string(line)))
}

// The story of a refused event in docs/sinks.md is what happens: its commands print what it shows, in this order.
func TestDocumentedDeadLetter(t *testing.T) {
	text := readDoc(t, sinksDoc)
	w := newWorld(t, simulatedRealtime)
	w.login()
	chat := newRequests(t)
	w.addSink(documentedSink(t, "ops", chat.server.URL+"/ops"))
	w.rewrite(func(config string) string { return config + "alerts: {sink: ops}\n" })
	w.bot.refuses("Fish")
	p := w.start()
	w.connected()
	w.sim.EmitRaw([]byte(strings.NewReplacer("Captain Crumb", "Ada", "Fish 'n' chips", "Espresso").Replace(sampleTreat)))
	atLeast(t, "stdout", p.out, 1)
	w.sim.EmitRaw([]byte(sampleTreat))
	p.err.find(t, "event given up")
	w.sim.EmitRaw([]byte(strings.NewReplacer("Captain Crumb", "Ben", "Fish 'n' chips", "Pizza").Replace(sampleTreat)))
	id := events(t, atLeast(t, "stdout", p.out, 3))[1].ID
	_, alert := chat.wait(t, "ops")
	if !strings.Contains(alert, "Sink bot refused an event for good") || !strings.Contains(alert, "no such dish") {
		t.Errorf("the alert is %s", alert)
	}

	for _, session := range regexp.MustCompile("(?s)<!-- run -->\n```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for part := range strings.SplitSeq(strings.TrimPrefix(session[1], "$ "), "\n$ ") {
			line, want, _ := strings.Cut(part, "\n")
			line = regexp.MustCompile(`trt_[0-9A-Z]{26}`).ReplaceAllString(line, id)
			var args []string
			for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
				args = append(args, m[1]+m[2])
			}
			if strings.HasPrefix(line, "relay deadletters redrive") && !strings.Contains(line, "--dry-run") {
				w.bot.refuses("")
			}
			run := func() string {
				p := w.relay(exitOK, args[1:]...)
				return p.out.text() + "\n" + p.err.text()
			}
			ordered := func(text string) []string { // Sinks do not wait for each other, so neither do lines.
				all := strings.Split(strings.TrimSpace(plainly(text)), "\n")
				slices.Sort(all)
				return slices.DeleteFunc(all, func(line string) bool { return line == "" })
			}
			if len(args) > 2 && slices.Contains([]string{"redrive", "disable", "enable"}, args[2]) {
				if got := run(); !slices.Equal(ordered(got), ordered(want)) {
					t.Errorf("%s: %s prints\n%s", sinksDoc, line, got)
				}
				continue
			}
			eventually(t, func() error { // The log of attempts is written a moment later.
				if got := run(); !slices.Equal(ordered(got), ordered(want)) {
					return fmt.Errorf("%s: %s prints\n%s", sinksDoc, line, got)
				}
				return nil
			})
		}
	}
	p.stop()
}

// Each type of sink has a section in docs/sinks.md.
func TestDocumentedTypes(t *testing.T) {
	for _, name := range sinks.Types() {
		if text := readDoc(t, sinksDoc); !strings.Contains(text, "\n## "+name+"\n") {
			t.Errorf("%s has no section %s", sinksDoc, name)
		}
	}
}
