package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
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

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
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
		if err := datadir.WritePrivate(filepath.Join(dir, m[1]), []byte(webhookSecret+"\n")); err != nil {
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
	for _, block := range doctest.Fenced(doctest.Read(t, sinksDoc), "yaml") {
		m := regexp.MustCompile(`(?m)^  ` + name + `:.*\n(?:    .*\n)*`).FindString(block)
		if m != "" {
			documented := regexp.MustCompile(`url: https?://[^/]+`).FindString(m)
			return strings.TrimSpace(replaceOnce(t, m, documented, "url: "+url))
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
	text := doctest.Read(t, sinksDoc)
	w := newWorld(t, simulatedRealtime)
	w.login()
	web := newRequests(t)
	for _, name := range []string{"bot", "say", "form", "chat", "fancy", "team"} {
		example := documentedSink(t, name, web.server.URL+"/"+name)
		if name == "bot" {
			example = replaceOnce(t, example, "bot:", "documented:") // there is another one
		}
		w.addExample(example)
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
	var login datadir.OverlayLogin
	data, err := os.ReadFile(filepath.Join(w.dir, "data", datadir.OverlayFile))
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

// The alert and the digest in docs/sinks.md are of the published schemas, and nothing of them is lost on their way through the types.
func TestDocumentedSchemas(t *testing.T) {
	for mark, decode := range map[string]func(pipeline.Record) (any, error){
		"alert":  func(r pipeline.Record) (any, error) { return r.Alert() },
		"digest": func(r pipeline.Record) (any, error) { return r.Digest() },
	} {
		block := marked(t, doctest.Read(t, sinksDoc), mark)
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		schema, err := compiler.Compile("../../docs/" + mark + ".schema.json")
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
		decoded, err := decode(pipeline.Record{Line: []byte(block)})
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		shows(t, mark, block, indent(t, string(line)))
	}
}

// The story of a refused event in docs/sinks.md is what happens: its commands print what it shows, in this order.
func TestDocumentedDeadLetter(t *testing.T) {
	text := doctest.Read(t, sinksDoc)
	w := newWorld(t, simulatedRealtime)
	w.login()
	chat := newRequests(t)
	w.addExample(documentedSink(t, "ops", chat.server.URL+"/ops"))
	w.configure(func(s *settings) { s.Alerts.Sink = "ops" })
	w.bot.refuses("Fish")
	p := w.start()
	w.connected()
	p.err.find(t, "first comparison with the history") // whose end has a number too
	w.sim.EmitRaw([]byte(strings.NewReplacer("Captain Crumb", "Ada", "Fish 'n' chips", "Espresso").Replace(sampleTreat)))
	atLeast(t, "stdout", p.out, 1)
	w.sim.EmitRaw([]byte(sampleTreat))
	w.sim.EmitRaw([]byte(strings.NewReplacer("Captain Crumb", "Ben", "Fish 'n' chips", "Pizza").Replace(sampleTreat)))
	p.err.find(t, "event given up")
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
				w.bot.refuses()
			}
			run := func() string {
				p := w.relay(exit.OK, args[1:]...)
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
		if text := doctest.Read(t, sinksDoc); !strings.Contains(text, "\n## "+name+"\n") {
			t.Errorf("%s has no section %s", sinksDoc, name)
		}
	}
}
