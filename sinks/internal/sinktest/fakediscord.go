package sinktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/discord"
)

// DiscordPath is the path of the webhook, behind /api.
const DiscordPath = "/webhooks/123456789012345678/planted-token_of-the-webhook"

// FakeDiscord takes messages as strictly as Discord does, and keeps a bucket of requests.
type FakeDiscord struct {
	Limit  int           // requests in a window
	Window time.Duration // from the first of them
	Refuse func(DiscordEmbed) bool
	Forum  *FakeForum // nil: the channel is a text channel

	Mu        sync.Mutex
	left      int
	reset     time.Time
	embeds    []DiscordEmbed
	messages  int
	exhausted int      // requests into an empty bucket
	faults    []string // what Discord would have refused or rendered as more than text
}

// DiscordEmbed is an embed as it is shown.
type DiscordEmbed struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Color       int    `json:"color"`
	Timestamp   string `json:"timestamp"`
	Author      *struct {
		Name string `json:"name"`
	} `json:"author"`
	Thumbnail *struct {
		URL string `json:"url"`
	} `json:"thumbnail"`
	Fields []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"fields"`
	Footer *struct {
		Text string `json:"text"`
	} `json:"footer"`
}

type discordBody struct {
	Content         *string         `json:"content"`
	Username        string          `json:"username"`
	AvatarURL       string          `json:"avatar_url"`
	ThreadName      string          `json:"thread_name"`
	Embeds          []DiscordEmbed  `json:"embeds"`
	AllowedMentions json.RawMessage `json:"allowed_mentions"`
}

func (f *FakeDiscord) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The sender has left.
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	now := time.Now()
	if !now.Before(f.reset) {
		f.left, f.reset = f.Limit, now.Add(f.Window)
	}
	after := f.reset.Sub(now).Seconds()
	w.Header().Set("X-RateLimit-Limit", strconv.Itoa(f.Limit))
	w.Header().Set("X-RateLimit-Reset-After", strconv.FormatFloat(after, 'f', 3, 64))
	w.Header().Set("X-RateLimit-Bucket", "abcd1234")
	w.Header().Set("Content-Type", "application/json")
	if f.left == 0 {
		f.exhausted++
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Scope", "user")
		w.Header().Set("Retry-After", strconv.Itoa(int(after)+1))
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = fmt.Fprintf(w, `{"message":"You are being rate limited.","retry_after":%.3f,"global":false}`, after)
		return
	}
	f.left--
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(f.left))
	switch {
	case r.URL.Path != "/api/v10"+DiscordPath || r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"Unknown Webhook","code":10015}`)
		return
	case r.URL.Query().Get("wait") != "true":
		f.fault("wait is not true: %s", r.URL.RawQuery)
	case r.Header.Get("Content-Type") != "application/json":
		f.fault("Content-Type is %s", r.Header.Get("Content-Type"))
	}
	message, err := f.check(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"message":"Invalid Form Body","code":50035,"errors":{"embeds":%q}}`, err)
		return
	}
	thread, refused := f.Forum.Take(r.URL.Query().Get("thread_id"), message.ThreadName, len(message.Embeds))
	if refused != nil {
		w.WriteHeader(refused.Status)
		_, _ = io.WriteString(w, refused.Body)
		return
	}
	f.messages++
	f.embeds = append(f.embeds, message.Embeds...)
	_, _ = fmt.Fprintf(w, `{"id":"1","channel_id":%q}`, thread)
}

func (f *FakeDiscord) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// check returns an error for what Discord answers with 400.
func (f *FakeDiscord) check(body []byte) (discordBody, error) {
	var m discordBody
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil || !utf8.Valid(body) {
		f.fault("not a message: %v: %.200q", err, body)
		return m, fmt.Errorf("not a message: %w", err)
	}
	if string(m.AllowedMentions) != `{"parse":[]}` {
		f.fault("allowed_mentions is %s", m.AllowedMentions)
	}
	if m.Content != nil {
		f.fault("there is content besides the embeds")
	}
	if len(m.Embeds) < 1 || len(m.Embeds) > 10 {
		return m, f.over("%d embeds", len(m.Embeds))
	}
	total := 0
	for _, e := range m.Embeds {
		if f.Refuse != nil && f.Refuse(e) {
			return m, fmt.Errorf("refused")
		}
		texts := []limited{{"title", e.Title, 1, 256, true}, {"description", e.Description, 0, 4096, true}}
		if e.Author != nil {
			texts = append(texts, limited{"author", e.Author.Name, 1, 256, false})
		}
		if e.Footer != nil {
			texts = append(texts, limited{"footer", e.Footer.Text, 1, 2048, false})
		}
		for _, field := range e.Fields {
			texts = append(texts, limited{"field name", field.Name, 1, 256, true}, limited{"field value", field.Value, 1, 1024, true})
		}
		for _, text := range texts {
			n := len(utf16.Encode([]rune(text.text))) // never less than what Discord counts
			if total += n; n < text.least || n > text.most || strings.TrimSpace(text.text) != text.text {
				return m, f.over("%s of %d: %.100q", text.name, n, text.text)
			}
			if found := unsightly(text.text); found != "" {
				f.fault("%s shows %q in %.300q", text.name, found, text.text)
			}
			if found := discordMarkup(text.text); text.markup && found != "" {
				f.fault("%s has the markup %q in %.300q", text.name, found, text.text)
			}
		}
		if _, err := time.Parse(time.RFC3339, e.Timestamp); err != nil || e.Color < 0 || e.Color > 0xffffff {
			return m, fmt.Errorf("timestamp %s, color %d", e.Timestamp, e.Color)
		}
	}
	if total > 6000 {
		return m, f.over("%d in all", total)
	}
	return m, nil
}

type limited struct {
	name, text  string
	least, most int
	markup      bool // Discord renders markup there
}

func (f *FakeDiscord) over(format string, args ...any) error {
	f.fault("over a limit: "+format, args...)
	return fmt.Errorf(format, args...)
}

var (
	control = regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f-\x{9f}\x{ad}\x{61c}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{3164}]`)
	zalgo   = regexp.MustCompile(`[\p{Mn}\p{Me}]{5,}`)
	tall    = regexp.MustCompile(`\n\n\n`)

	markups = []*regexp.Regexp{
		regexp.MustCompile(`@(everyone|here)`), // It notifies, or looks as if it did.
		regexp.MustCompile(`<(@[!&]?|#)[0-9]+>`),
		regexp.MustCompile(`<(id:|/|t:|a?:\w+:)`),
		regexp.MustCompile(`(?i)(https?|discord)://`),
		regexp.MustCompile(`\[[^\]]*\]\(`),
		regexp.MustCompile("`"),
		regexp.MustCompile(`\*[^*]+\*`),
		regexp.MustCompile(`_[^_]+_`),
		regexp.MustCompile(`~~|\|\|`),
		regexp.MustCompile(`(?m)^ *(>|-?#|[-*+] |[0-9]+[.)] )`),
	}
)

// unsightly finds what no text from a viewer may have.
func unsightly(text string) string {
	for _, r := range []*regexp.Regexp{control, zalgo, tall} {
		if found := r.FindString(text); found != "" {
			return found
		}
	}
	return ""
}

var escaped = regexp.MustCompile(`\\([!-/:-@\[-` + "`" + `{-~])`)

// discordMarkup finds what Discord would render as more than text.
func discordMarkup(text string) string {
	rest := escaped.ReplaceAllString(text, "\x00")
	for _, r := range markups {
		if found := r.FindString(rest); found != "" {
			return found
		}
	}
	return ""
}

// discordShown is what a reader sees.
func discordShown(text string) string { return escaped.ReplaceAllString(text, "$1") }

// Report fails the test for each rule that a message broke.
func (f *FakeDiscord) Report(t *testing.T) {
	t.Helper()
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for i, fault := range f.faults {
		if i == 5 {
			t.Errorf("and %d more", len(f.faults)-i)
			break
		}
		t.Error(fault)
	}
	if f.exhausted > 0 {
		t.Errorf("%d requests into an exhausted bucket", f.exhausted)
	}
}

// Seen returns the embeds that were posted, and in how many messages.
func (f *FakeDiscord) Seen() ([]DiscordEmbed, int) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return slices.Clone(f.embeds), f.messages
}

var digestID = regexp.MustCompile(`dig_[0-9A-Z]{26}`)

// chatArrivals takes what was shown of each event apart, its id and its text.
func chatArrivals(shown []string) []Arrival {
	var all []Arrival
	for _, text := range shown {
		if id := digestID.FindString(text); id != "" {
			_, what, _ := strings.Cut(text, ": ")
			all = append(all, Arrival{id, what})
			continue
		}
		id, message, _ := strings.Cut(text, " ")
		all = append(all, Arrival{id, plainly(message)})
	}
	return all
}

// chatShows is what chatArrivals makes of a record.
func chatShows(r pipeline.Record) string {
	if r.Type == pipeline.DigestType {
		return "5x " + r.ID + ", 3x Taco and others, from Ann, Bob and others"
	}
	e, err := r.Event()
	if err != nil {
		panic(err)
	}
	return plainly(*e.Data.Message)
}

var unchanged = regexp.MustCompile(`^[a-z0-9 !]{1,200}$`)

// plainly returns a text that a chat shows as it was written, and nothing for any other.
func plainly(text string) string {
	if unchanged.MatchString(text) {
		return text
	}
	return ""
}

// DiscordDestination is a channel of Discord.
func DiscordDestination(t *testing.T) *Destination {
	t.Helper()
	fake := &FakeDiscord{Limit: 5, Window: 20 * time.Millisecond}
	address := FreeAddress(t)
	config, ok := sinks.NewConfig("discord").(*discord.Config)
	if !ok {
		t.Fatal("no discord configuration")
	}
	config.URL = secret.New("http://" + address + "/api" + DiscordPath)
	config.Template = "{{.ID}} {{.Message}}"
	return chatDestination(t, config, fake, address, func() (shown []string) {
		embeds, _ := fake.Seen()
		for _, e := range embeds {
			shown = append(shown, discordShown(e.Description))
		}
		return shown
	}, "planted-token", "123456789012345678")
}

// A fakeChat is a stand-in for a chat, and reports the rules that a message broke.
type fakeChat interface {
	http.Handler
	Report(t *testing.T)
}

// chatDestination is a channel of a chat that a stand-in serves at an address. shown returns the texts that people see in it.
func chatDestination(t *testing.T, config sinks.Config, fake fakeChat, address string, shown func() []string, secrets ...string) *Destination {
	t.Helper()
	box := newInbox()
	handler := gate(box, fake)
	server := serve(t, address, handler)
	return &Destination{
		Config: config, Hang: box.hang, shows: chatShows, Secrets: secrets,
		Arrived: func(*testing.T) []Arrival { return chatArrivals(shown()) },
		Outage: func(t *testing.T) func() {
			t.Helper()
			_ = server.Close()
			return func() { server = serve(t, address, handler) }
		},
		End: func() {
			box.set(false)
			_ = server.Close()
			fake.Report(t)
		},
	}
}

// gate keeps requests waiting while the box is shut, and drops those whose sender has left.
func gate(box *inbox, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		box.wait()
		if r.Context().Err() != nil {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, r)
	})
}
