package sinktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/slack"
)

// SlackPath is the path of the webhook.
const SlackPath = "/services/T0PLANTED/B0PLANTED/plantedplantedplanted000"

// FakeSlack takes messages as strictly as Slack does.
type FakeSlack struct {
	Refuse func(text string) bool

	mu       sync.Mutex
	sections []string
	messages int
	faults   []string
}

type slackPart struct {
	Type     string      `json:"type"`
	Text     string      `json:"text"`
	Verbatim bool        `json:"verbatim"`
	Elements []slackPart `json:"elements"`
}

func (f *FakeSlack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path != SlackPath || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "no_service")
		return
	}
	sections, err := f.check(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "invalid_blocks")
		return
	}
	f.messages++
	f.sections = append(f.sections, sections...)
	_, _ = io.WriteString(w, "ok")
}

func (f *FakeSlack) fault(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	f.faults = append(f.faults, err.Error())
	return err
}

// checkTexts wants each text within its limit, and without what could show as anything but text.
func (f *FakeSlack) checkTexts(texts []slackPart, limits []int) error {
	for i, p := range texts {
		if n := len(utf16.Encode([]rune(p.Text))); n < 1 || n > limits[i] {
			return f.fault("a text of %d, at most %d: %.100q", n, limits[i], p.Text)
		}
		if found := unsightly(p.Text); found != "" {
			_ = f.fault("%q shows in %.300q", found, p.Text)
		}
		if found := slackMarkup(p.Text); found != "" && p.Type == "mrkdwn" || p.Type == "mrkdwn" && !p.Verbatim {
			_ = f.fault("markup %q in %.300q", found, p.Text)
		}
	}
	return nil
}

func (f *FakeSlack) check(body []byte) (sections []string, err error) {
	var m struct {
		Text   string `json:"text"`
		Blocks []struct {
			Type     string          `json:"type"`
			Text     json.RawMessage `json:"text"`
			Elements []slackPart     `json:"elements"`
		} `json:"blocks"`
		UnfurlLinks *bool `json:"unfurl_links"`
		UnfurlMedia *bool `json:"unfurl_media"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil || !utf8.Valid(body) {
		return nil, f.fault("not a message: %v: %.200q", err, body)
	}
	if m.UnfurlLinks == nil || *m.UnfurlLinks || m.UnfurlMedia == nil || *m.UnfurlMedia {
		_ = f.fault("links are unfurled")
	}
	if len(m.Blocks) < 1 || len(m.Blocks) > 50 {
		return nil, f.fault("%d blocks", len(m.Blocks))
	}
	texts := []slackPart{{Type: "mrkdwn", Text: m.Text, Verbatim: true}}
	limits := []int{4000}
	for _, b := range m.Blocks {
		parts, limit := b.Elements, 3000
		if b.Type != "context" {
			parts = make([]slackPart, 1)
			if err := json.Unmarshal(b.Text, &parts[0]); err != nil {
				return nil, f.fault("text of a %s: %v", b.Type, err)
			}
		}
		if b.Type == "header" {
			limit = 150
		}
		if (b.Type == "header") != (parts[0].Type == "plain_text") || len(parts) < 1 || len(parts) > 10 {
			return nil, f.fault("a %s block with %d of %s", b.Type, len(parts), parts[0].Type)
		}
		for _, p := range parts {
			texts, limits = append(texts, p), append(limits, limit)
		}
		if b.Type == "section" {
			sections = append(sections, parts[0].Text)
		}
	}
	if err := f.checkTexts(texts, limits); err != nil {
		return nil, err
	}
	for _, s := range sections {
		if f.Refuse != nil && f.Refuse(s) {
			return nil, fmt.Errorf("refused")
		}
	}
	return sections, nil
}

var (
	slackOwn     = regexp.MustCompile(`^\*[^*\n]+\* sent \*[^*\n]+\*|^\*[0-9]+ treats?\*|^\*What to do:\*|<!date\^[0-9]+\^\{date_short_pretty\} \{time\}\|[0-9: UTC-]+>`)
	slackEntity  = regexp.MustCompile(`&(amp|lt|gt);`)
	slackMarkups = []*regexp.Regexp{
		regexp.MustCompile(`[<>]`),
		regexp.MustCompile(`&(?:[^agl]|$)`),
		regexp.MustCompile("`"),
		regexp.MustCompile(`(?m)(?:^|[^0-9A-Za-z])[*_~][^*_~]+[*_~](?:$|[^0-9A-Za-z])`),
		regexp.MustCompile(`(?m)^ *(>|&gt;)`),
	}
)

// slackMarkup finds what Slack would render as more than text, beside the markup of the sink itself.
func slackMarkup(text string) string {
	rest := slackOwn.ReplaceAllString(text, "")
	for _, r := range slackMarkups {
		if found := r.FindString(rest); found != "" {
			return found
		}
	}
	return ""
}

// slackShown is what a reader sees.
func slackShown(text string) string {
	return slackEntity.ReplaceAllStringFunc(text, func(e string) string {
		return map[string]string{"&amp;": "&", "&lt;": "<", "&gt;": ">"}[e]
	})
}

// Report fails the test for each rule that a message broke.
func (f *FakeSlack) Report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.faults[:min(len(f.faults), 5)] {
		t.Error(fault)
	}
}

// Seen returns the sections that were posted, and in how many messages.
func (f *FakeSlack) Seen() ([]string, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sections), f.messages
}

// SlackDestination is a channel of Slack.
func SlackDestination(t *testing.T) *Destination {
	t.Helper()
	fake := &FakeSlack{}
	address := FreeAddress(t)
	config, ok := sinks.NewConfig("slack").(*slack.Config)
	if !ok {
		t.Fatal("no slack configuration")
	}
	config.URL = secret.New("http://" + address + SlackPath)
	config.Template = "{{.ID}} {{.Message}}"
	config.Timeout = 10 * time.Second
	return chatDestination(t, config, fake, address, func() (shown []string) {
		sections, _ := fake.Seen()
		for _, section := range sections {
			shown = append(shown, slackShown(section))
		}
		return shown
	}, "PLANTED", "planted")
}
