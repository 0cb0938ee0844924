package webhook_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// shaped is a webhook with a body of its own.
func shaped(t *testing.T, body, contentType string) (sink pipeline.Sink, got func() (*http.Request, string)) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(sinktest.WebhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	var request *http.Request
	var text []byte
	url := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		request = r
		text, _ = io.ReadAll(r.Body)
		if err := verifier.Verify(text, r.Header); err != nil {
			t.Errorf("the signature is not of what was sent: %v", err)
		}
	})
	sink = sinktest.OpenWebhook(t, url, func(c *webhook.Config) { c.Body, c.ContentType = webhook.Template(body), contentType })
	return sink, func() (*http.Request, string) { return request, string(text) }
}

// send delivers an event with a sender and a message.
func send(t *testing.T, sink pipeline.Sink, sender *string, message string) error {
	t.Helper()
	r := sinktest.Record("mystream", 1, message)
	e, err := r.Event()
	if err != nil {
		t.Fatal(err)
	}
	e.Data.Sender = sender
	if r.Line, err = e.Line(); err != nil {
		t.Fatal(err)
	}
	_, err = sink.Deliver(t.Context(), []pipeline.Record{r})
	return err
}

const unruly = "\"}]\\ \n\t<b>&\u2028 é🍕 {{.id}} %25+=\x00\x1b"

func TestBodies(t *testing.T) {
	sender := "Ann & \"Bob\""
	for _, c := range []struct{ name, body, contentType, want string }{
		{"a value", `{"text": {{.data.title}}}`, "", `{"text": "Pizza"}`},
		{"within a string", `{"text": "{{.data.sender}} sent {{.data.title}}"}`, "", `{"text": "Ann & \"Bob\" sent Pizza"}`},
		{"a key", `{ {{.data.account}}: 1}`, "", `{ "mystream": 1}`},
		{"null, a list and a number", `[{{.data.receiver}}, {{.data.anonymous}}, {{len .data.account}}]`, "", `[null, false, 8]`},
		{"null within a string", `["({{.data.receiver}})"]`, "", `["()"]`},
		{"an object", `{"d": {{.data}}}`, "", `{"d": {"account":"mystream","anonymous":false,"date_created":null,"message":"hi","provider":"treatstream","receiver":null,"receiver_type":null,"sender":"Ann & \"Bob\"","sender_type":null,"title":"Pizza"}}`},
		{"an object within a string", `["{{json .data.sender}}"]`, "", `["\"Ann \u0026 \\\"Bob\\\"\""]`},
		{"json twice is once", `[{{json .data.sender}}, {{.data.sender | json}}]`, "", `["Ann & \"Bob\"", "Ann & \"Bob\""]`},
		{"default", `["{{.data.receiver | default "nobody"}}", {{default "x" .data.title}}]`, "", `["nobody", "Pizza"]`},
		{"case and length", `[{{upper .data.title}}, "{{.data.title | lower}}", {{truncate 3 .data.title}}, {{truncate 5 .data.title}}, {{truncate 0 .data.title}}]`, "", `["PIZZA", "pizza", "Pi…", "Pizza", ""]`},
		{"raw", `{"text": "x"{{raw ", \"y\": 1"}}}`, "", `{"text": "x", "y": 1}`},
		{"raw within a string", `["{{raw "a\\nb"}}"]`, "", `["a\nb"]`},
		{"dates", `["{{date "2006-01-02 15:04" .time}}", "{{.time | date "15:04" "Asia/Tokyo"}}", {{raw (date "unix" .time)}}]`, "", `["2026-05-28 20:26", "05:26", 1780000000]`},
		{"branches", `{ {{- if .data.anonymous}}"by": null{{else}}"by": {{.data.sender}}{{end -}} }`, "", `{"by": "Ann & \"Bob\""}`},
		{"a branch within a string", `["{{with .data.receiver}}to {{.}}{{else}}to all{{end}}"]`, "", `["to all"]`},
		{"a loop", `{ {{- range $k, $v := .data}}{{if $v}}{{$k}}: {{$v}}, {{end}}{{end}}"end": 0}`, "", `{"account": "mystream", "message": "hi", "provider": "treatstream", "sender": "Ann & \"Bob\"", "title": "Pizza", "end": 0}`},
		{"variables", `{{$s := .data.sender}}{{$n := 1}}{{$n = 2}}{"s": {{$s}}, "n": {{$n}}}`, "", `{"s": "Ann & \"Bob\"", "n": 2}`},
		{"comments", "{{/* \" */}}[{{.data.title}}]", "", `["Pizza"]`},
		{"an escaped quote", `["\"{{.data.title}}\" \\{{.data.title}}"]`, "", `["\"Pizza\" \\Pizza"]`},
		{"a key that may be missing", `[{{with index .data "raw"}}1{{else}}0{{end}}]`, "", `[0]`},
		{"another JSON type", `[{{.data.title}}]`, "application/vnd.bot+json; charset=utf-8", `["Pizza"]`},
		{"a form", `text={{.data.sender}}+sent&x={{.data.receiver}}&y={{raw "a=b"}}`, "application/x-www-form-urlencoded", `text=Ann+%26+%22Bob%22+sent&x=&y=a=b`},
		{"plain text", "{{.data.sender}} sent\n\"{{.data.title}}\"{{.data.receiver}}", "text/plain; charset=utf-8", "Ann & \"Bob\" sent\n\"Pizza\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sink, got := shaped(t, c.body, c.contentType)
			if err := send(t, sink, &sender, "hi"); err != nil {
				t.Fatal(err)
			}
			request, text := got()
			want := c.want
			if c.contentType == "" {
				c.contentType = "application/json"
			}
			if text != strings.ReplaceAll(want, `\u0026`, "&") || request.Header.Get("Content-Type") != c.contentType {
				t.Errorf("sent %s %s\nwant %s", request.Header.Get("Content-Type"), text, want)
			}
		})
	}
}

// Whatever viewers write, it stays one value.
func TestBodiesKeepValues(t *testing.T) {
	sink, got := shaped(t, `{"a": {{.data.message}}, "b": "<{{.data.message}}>", "c": "{{json .data.message}}"}`, "")
	say := func(sink pipeline.Sink, message string) error {
		_, err := sink.Deliver(t.Context(), []pipeline.Record{sinktest.Record("mystream", 1, message)})
		return err
	}
	check := func(t rapid.TB, message string) {
		if err := say(sink, message); err != nil {
			t.Fatalf("%q: %v", message, err)
		}
		_, text := got()
		var out map[string]any
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatalf("%q gives %s: %v", message, text, err)
		}
		var inner string
		if err := json.Unmarshal([]byte(out["c"].(string)), &inner); err != nil || inner != message {
			t.Fatalf("%q gives c %q", message, inner)
		}
		if out["b"] != "<"+message+">" || out["a"] != message || len(out) != 3 {
			t.Fatalf("%q gives %s", message, text)
		}
	}
	check(t, unruly)
	rapid.Check(t, func(rt *rapid.T) {
		check(rt, rapid.StringMatching(`[\x00-\x7f"\\{}<>&é🍕\x{2028}]{0,20}`).Draw(rt, "message"))
	})
	form, sent := shaped(t, `a={{.data.message}}`, "application/x-www-form-urlencoded")
	if err := say(form, unruly); err != nil {
		t.Fatal(err)
	}
	if _, text := sent(); strings.ContainsAny(text[2:], "&= \"\n\x00") {
		t.Errorf("form %q", text)
	}
}

func TestFaultsOfBodies(t *testing.T) {
	for _, c := range []struct{ body, contentType, want string }{
		{`{"a": {{.data.titel}}}`, "", `1:14: <.data.titel>: map has no entry for key "titel" (tried with a full event)`},
		{"{\n  \"a\": 1,\n  \"b\": {{.nothing}}\n}", "", `3:10: <.nothing>: map has no entry`},
		{`{"a": {{if .data.anonymous}}{{.data.titel}}{{else}}1{{end}}}`, "", `(tried with an event without a sender)`},
		{`{"a": {{len .data.title}}}`, "", `(tried with an event whose texts are all null)`},
		{`{"a": {{if eq .origin "test"}}x{{else}}1{{end}}}`, "", `is not JSON: invalid character 'x' looking for beginning of value (tried with a test event)`},
		{`{"a": {{.data.title}}`, "", `is not JSON`},
		{`{"a": {{raw .data.title}}}`, "", `is not JSON`},
		{"{\n\"a\": \"{{.data.title}}}\n", "", `2:23: the JSON ends within a string`},
		{`{"a": "\{{.data.title}}"}`, "", `1:11: {{.data.title}} stands after a backslash`},
		{`{"a": {{if .id}}"x{{else}}1{{end}}}`, "", `1:12: its branches end on different sides of a quote`},
		{`{"a": {{if .id}}"{{end}}x"}`, "", `its branches end on different sides of a quote`},
		{`["{{range .data}}"{{end}}"]`, "", `1:11: its turns end on the other side of a quote`},
		{`["{{range .data}}{{else}}"{{end}}"]`, "", `its turns end on the other side`},
		{`["{{range .data}}"{{break}}"{{end}}"]`, "", `1:21: {{break}} leaves the loop on the other side`},
		{`[{{define "x"}}1{{end}}{{template "x"}}]`, "", `define and block are not supported`},
		{`[{{template "x"}}]`, "", `not supported`},
		{"[\n{{.id}}, {{.id | uper}}]", "", `2:10: function "uper" not defined`},
		{"[{{.id}}, {{if}}1{{end}}]", "", `1:11: missing value for if`},
		{"[{{.id}}, {{.id", "", `1:11: unclosed action`},
		{`[{{range 1000000000}}{{end}}1]`, "", `a loop in it is too long`},
		{`[{{range 100000}}{{range 100000}}{{end}}{{end}}1]`, "", `a loop in it is too long`},
		{`["{{range 40000}}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{{end}}"]`, "", `makes more than 1 MiB`},
		{`{{date "15:04" .id}}`, "text/plain", `is not a time such as .time`},
		{`{{date "15:04" "Mars/Olympus" .time}}`, "text/plain", `is not a time zone`},
		{`{{date "15:04"}}`, "text/plain", `date wants a layout`},
		{`{{.data.title.x}}`, "text/plain", `1:8: <.data.title.x>: can't evaluate`},
		{`x`, "json", `content_type: "json" is not a media type`},
	} {
		config := sinks.NewConfig("webhook").(*webhook.Config)
		config.URL, config.Secret = secret.New("https://bot.example/"), secret.New(sinktest.WebhookSecret)
		config.Body, config.ContentType = webhook.Template(c.body), c.contentType
		err := config.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: fault %v, want %q", c.body, err, c.want)
			continue
		}
		if f, ok := errors.AsType[*field.Error](err); !ok || f.Field != "body" && f.Field != "content_type" {
			t.Errorf("%s: the fault %v names no key", c.body, err)
		}
	}
}

// What no sample showed is found at delivery, where it is the event's own fault.
func TestBodyThatFailsLater(t *testing.T) {
	sink, got := shaped(t, `{"a": {{if eq .data.message "hi"}}{{.data.nothing}}{{else}}1{{end}}}`, "")
	err := send(t, sink, nil, "hi")
	if sinktest.ErrorClass(err) != "permanent" || !strings.Contains(err.Error(), "make the body: 1:") || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("%s: %v", sinktest.ErrorClass(err), err)
	}
	if request, _ := got(); request != nil {
		t.Error("a request was sent")
	}
	if err := send(t, sink, nil, "hello"); err != nil {
		t.Error(err)
	}
}

func TestAlertsAndDigestsHaveNoBodyOfTheirOwn(t *testing.T) {
	sink, got := shaped(t, `[{{.data.title}}]`, "")
	digest := sinktest.DigestRecord("mystream")
	if _, err := sink.Deliver(t.Context(), []pipeline.Record{digest}); err != nil {
		t.Fatal(err)
	}
	if request, text := got(); text != string(digest.Line) || request.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
		t.Errorf("sent %s %s", request.Header.Get("Content-Type"), text)
	}
	line := []byte(`{"specversion":"1.0","id":"alert_1","type":"treatrelay.alert.v1","data":{"sink":"chat"}}`)
	if _, err := sink.Deliver(t.Context(), []pipeline.Record{{ID: "alert_1", Type: pipeline.AlertType, Line: line}}); err != nil {
		t.Fatal(err)
	}
	if request, text := got(); text != string(line) || request.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
		t.Errorf("sent %s %s", request.Header.Get("Content-Type"), text)
	}
}

func TestMethodAndContentType(t *testing.T) {
	var method, contentType string
	url := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		method, contentType = r.Method, r.Header.Get("Content-Type")
	})
	for _, want := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
		err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, url, func(c *webhook.Config) { c.Method, c.ContentType = webhook.Method(want), "application/json" }))
		if err != nil || method != want || contentType != "application/json" {
			t.Errorf("%s %s: %v", method, contentType, err)
		}
	}
}
