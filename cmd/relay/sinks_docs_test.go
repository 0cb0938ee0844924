package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// The tests below run the configurations in docs/sinks.md, and compare their requests with those that it shows.

const (
	sinksDoc   = "docs/sinks.md"
	privateKey = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	sampleTime = "2026-11-21 21:40:16" // of the treat that the documentation shows
)

const sampleTreat = `{"sender":"Captain Crumb","sender_type":"twitch","receiver":"streamer","receiver_type":"twitch",` +
	`"title":"Fish 'n' chips","message":"dinner is served","date_created":"` + sampleTime + `"}`

// documentedVariable is the value of a variable in the documented configurations.
func documentedVariable(name string) (string, bool) {
	if strings.HasSuffix(name, "PRIVATE_KEY") {
		return privateKey, true
	}
	return webhookSecret, true
}

// documentedFiles creates the files that a documented configuration names.
func documentedFiles(t *testing.T, dir, config string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)_file: ([a-z.]+)$`).FindAllStringSubmatch(config, -1) {
		if err := datadir.WritePrivate(filepath.Join(dir, m[1]), []byte(webhookSecret+"\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// marked returns the fenced block under <!-- mark -->.
func marked(t *testing.T, text, mark string) string {
	t.Helper()
	block := regexp.MustCompile("(?s)<!-- " + regexp.QuoteMeta(mark) + " -->\n```[a-z]+\n(.*?)```\n").FindStringSubmatch(text)
	if block == nil {
		t.Fatalf("there is no fenced block under <!-- %s -->", mark)
	}
	return block[1]
}

// documentedSink returns the documented example of a sink, as it stands under sinks, with another URL.
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

// normalize replaces everything that differs from run to run.
func normalize(text string) string {
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

// compareDocumented compares a documented text with the actual one, except for what differs from run to run.
func compareDocumented(t *testing.T, what, documented, actual string) {
	t.Helper()
	if normalize(documented) != normalize(actual) {
		t.Errorf("%s shows for %s\n%s\nwhich is\n%s", sinksDoc, what, documented, actual)
	}
}

// indent formats JSON like the documentation.
func indent(t *testing.T, body string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(body), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	// Relay escapes these in JSON strings.
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(out.String()) + "\n"
}

// The examples in docs/sinks.md send the requests that it shows.
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
	p := startRelay(t, append(w.env(), "WEBHOOK_SECRET="+webhookSecret, "CHAT_KEY=key"), w.args()...)
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
	compareDocumented(t, "a webhook", sample, header+"\n"+body+"\n")
	checkSampleSignature(t, sample)

	msg := <-overlay
	compareDocumented(t, "NATS", marked(t, text, "sample: nats"), msg.Subject+"\nNats-Msg-Id: "+msg.Header.Get(nats.MsgIdHdr)+"\n\n"+string(msg.Data)+"\n")
	for _, name := range []string{"chat", "fancy", "team"} {
		request, body := web.wait(t, name)
		compareDocumented(t, "the sink "+name, marked(t, text, "sample: "+name), indent(t, body))
		if name != "team" && request.URL.Query().Get("wait") != "true" {
			t.Errorf("%s: the query is %s", name, request.URL.RawQuery)
		}
	}
	request, body = web.wait(t, "say")
	compareDocumented(t, "the sink say", marked(t, text, "sample: say"), body)
	if request.Header.Get("X-Api-Key") != "key" || request.Header.Get("Content-Type") != "application/json" {
		t.Errorf("say: header %v", request.Header)
	}
	_, body = web.wait(t, "form")
	compareDocumented(t, "the sink form", marked(t, text, "sample: form"), body+"\n")
	if values, err := url.ParseQuery(body); err != nil || values.Get("text") != "FISH 'N' CHIPS from Captain Crumb: dinner i…" {
		t.Errorf("form: %v, %v", values, err)
	}
	p.stop()
}

// checkSampleSignature checks the signature of the documented request.
func checkSampleSignature(t *testing.T, sample string) {
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

// The alert and the digest in docs/sinks.md match the published schemas, and survive decoding and encoding.
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
		compareDocumented(t, mark, block, indent(t, string(line)))
	}
}

// The commands of the section on refused events in docs/sinks.md print the output that it shows.
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
	p.err.find(t, "first comparison with the history") // which has a number in the journal
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
				// The documentation shows commands without --config and --data-dir, and so the commands that they advise.
				return p.out.text() + "\n" + strings.ReplaceAll(p.err.text(), w.flags(), "")
			}
			ordered := func(text string) []string { // Sinks are independent, so the order of lines varies.
				all := strings.Split(strings.TrimSpace(normalize(text)), "\n")
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
