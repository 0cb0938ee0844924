package chat_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// chatRecord makes a treat with texts of anybody's choice, which was sent i seconds after another.
func chatRecord(account string, i int, sender, title, message string) pipeline.Record {
	e := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, ID: fmt.Sprintf("trt_%s_%04d", account, i), Source: "/treatstream/" + account,
		Type: pipeline.EventType, Time: chatTime(account, i), DataContentType: pipeline.DataContentType, Origin: pipeline.OriginLive,
		Data: pipeline.Data{Account: account, Provider: "treatstream", Title: &title, Message: &message, Receiver: &account},
	}
	if sender != "" {
		e.Data.Sender = &sender
	}
	e.Data.Anonymous = sender == ""
	line, err := e.Line()
	if err != nil {
		panic(err)
	}
	// What a decoder of JSON may be given, and no text of Go can hold.
	line = bytes.ReplaceAll(line, []byte("LONE"), []byte(`\ud83d`))
	line = bytes.ReplaceAll(line, []byte("INVALID"), []byte("\xff\xc0"))
	return pipeline.Record{
		Seq: uint64(i + 1), ID: e.ID, Account: account, Provider: "treatstream", Origin: e.Origin, Type: e.Type, Line: line,
	}
}

// chatTime is when the record was sent, by which a chat tells it from the others.
func chatTime(account string, i int) time.Time {
	return time.Unix(1_700_000_000+1_000_000*int64(account[len(account)-1]-'0')+int64(i), 0).UTC()
}

// hostile makes a text of the kind that somebody writes who wants to break something.
func hostile(r *rand.Rand) string {
	pieces := []string{
		"@everyone", "@here", "<@123456789012345678>", "<@!123456789012345678>", "<@&123456789012345678>", "<#123456789012345678>",
		"<t:1700000000:R>", "<:kappa:123456789012345678>", "<a:party:123456789012345678>", "</ban:123456789012345678>", "<id:customize>",
		"<!here>", "<!channel>", "<!everyone>", "<@U012AB3CD>", "<#C012AB3CD|general>", "<https://evil.example|your bank>", "&lt;!here&gt;",
		"**bold**", "__under__", "*it*", "_it_", "~~gone~~", "||spoiler||", "`code`", "```\ncode\n```", "# big\n", "-# small\n", "> quote\n",
		">>> all", "- list\n", "* list\n", "+ list\n", "1. list\n", "23) list\n", "[safe](https://evil.example)", "https://evil.example/?a=_b_",
		"HTTP://EVIL.EXAMPLE", "discord.gg/evil", "\\", "\\\\", "\\@everyone", "\\*", "$x$", "{{.Sender}}", "%s%n", "\"}],\"content\":\"@everyone\"",
		"z" + strings.Repeat("\u0337\u0353", 40), strings.Repeat("\u0489", 20), "e\u0301", "\u202egnp.exe\u202c", "\u2066\u2067", "\u200f\u200e\u061c",
		"שלום עולם", "مرحبا", "می\u200cخواهم", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏳️‍🌈", "👋🏽", "🇫🇷🇩🇪", strings.Repeat("👩‍", 60), "#️⃣", "क्षि", "가각힣",
		"p\u200bi\u200dz\u2060z\ufeffa", "\u00ad\u034f\u115f\u3164\uffa0\u2800", "\U000e0041\U000e0042\U000e007f", "\ufe0f\ufe0f\U000e0100",
		"\x00", "\x1b[31m", "\x07\b\x7f\u0085", "\r\n\r\n\r\n", "\u2028\u2029", strings.Repeat("\n", 50), strings.Repeat("a\n", 50), "\t\t", "\u00a0\u3000",
		"LONE", "INVALID", "\ufffd", "\ufffe\uffff", strings.Repeat("W", 300), strings.Repeat("🍕", 300), strings.Repeat("*", 300),
		strings.Repeat("<@1>", 200), "pizza", "enjoy!", " ", ":pizza:", "日本語",
	}
	var b strings.Builder
	for range 1 + r.IntN(8) {
		b.WriteString(pieces[r.IntN(len(pieces))])
		if r.IntN(3) == 0 {
			b.WriteByte(' ')
		}
	}
	if r.IntN(60) == 0 {
		return strings.Repeat(b.String(), 1+100_000/b.Len())
	}
	return b.String()
}

// hostiles makes n records of an account, all of them hostile except for some empty texts.
func hostiles(account string, n int) []pipeline.Record {
	r := rand.New(rand.NewPCG(11, uint64(account[len(account)-1])))
	text := func() string {
		if r.IntN(10) == 0 {
			return ""
		}
		return hostile(r)
	}
	var all []pipeline.Record
	for i := range n {
		all = append(all, chatRecord(account, i, text(), text(), text()))
	}
	return all
}

// deliverAccounts delivers the records of several accounts at once, each in order, and wants every one to be taken.
func deliverAccounts(t *testing.T, sink pipeline.Sink, accounts ...[]pipeline.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for _, records := range accounts {
		all.Go(func() {
			for len(records) > 0 {
				n, err := sink.Deliver(ctx, records[:min(len(records), 256)])
				if n < 1 || err != nil {
					t.Errorf("Deliver from %s on: %d, %v", records[0].ID, n, err)
					return
				}
				records = records[n:]
			}
		})
	}
	all.Wait()
}

// wantOrder checks that the times of every account have arrived completely and in order.
func wantOrder(t *testing.T, got []time.Time, accounts ...[]pipeline.Record) {
	t.Helper()
	total := 0
	for _, records := range accounts {
		total += len(records)
		account, next := records[0].Account, 0
		for _, when := range got {
			if at := when.Sub(chatTime(account, 0)); at < 0 || at >= 1_000_000*time.Second {
				continue
			}
			if next >= len(records) || !when.Equal(chatTime(account, next)) {
				t.Fatalf("account %s: after %d treats comes the one of %v", account, next, when)
			}
			next++
		}
		if next != len(records) {
			t.Errorf("account %s: %d treats arrived, want %d", account, next, len(records))
		}
	}
	if len(got) != total {
		t.Errorf("%d treats arrived, want %d", len(got), total)
	}
}

// TestDiscordHostile is property 11 of the deliveries: 1,000 hostile treats and not one mention, nothing over a limit, and
// no request into an exhausted bucket.
func TestDiscordHostile(t *testing.T) {
	for name, c := range map[string]struct {
		template string
		n        int // of each account
	}{
		"default":  {"", 250},
		"template": {`{{.Sender}} {{.Title}}{{"\n"}}{{.Message}}{{"\n"}}{{.Message}} {{printf "%s:%s" .Title .Receiver}}`, 50},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &sinktest.FakeDiscord{Limit: 5, Window: 30 * time.Millisecond}
			config := sinktest.DiscordConfig(t, sinktest.Receiver(t, fake.ServeHTTP))
			config.Template = c.template
			accounts := [][]pipeline.Record{hostiles("a0", c.n), hostiles("a1", c.n), hostiles("a2", c.n), hostiles("a3", c.n)}
			deliverAccounts(t, sinktest.OpenChat(t, config, nil), accounts...)
			fake.Report(t)
			embeds, _ := fake.Seen()
			var got []time.Time
			for _, e := range embeds {
				when, err := time.Parse(time.RFC3339, e.Timestamp)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, when)
			}
			wantOrder(t, got, accounts...)
		})
	}
}

func TestSlackHostile(t *testing.T) {
	for name, template := range map[string]string{"default": "", "template": "{{.Sender}} {{.Title}}{{\"\\n\"}}{{.Message}}{{.Message}}"} {
		t.Run(name, func(t *testing.T) {
			fake := &sinktest.FakeSlack{}
			config := sinktest.SlackConfig(t, sinktest.Receiver(t, fake.ServeHTTP))
			config.Template = template
			accounts := [][]pipeline.Record{hostiles("a0", 100), hostiles("a1", 100)}
			deliverAccounts(t, sinktest.OpenChat(t, config, nil), accounts...)
			fake.Report(t)
			if sections, messages := fake.Seen(); len(sections) != 200 || messages > 22 {
				t.Errorf("%d treats arrived in %d messages", len(sections), messages)
			}
		})
	}
}

// TestChatBurst checks that concurrent events arrive in few messages, in order, with every event in one attempt.
func TestChatBurst(t *testing.T) {
	var records []pipeline.Record
	for i := range 200 {
		records = append(records, chatRecord("a0", i, "GenerousViewer", "Pizza", fmt.Sprintf("treat %d", i)))
	}
	discord, slack := &sinktest.FakeDiscord{Limit: 5, Window: 50 * time.Millisecond}, &sinktest.FakeSlack{}
	for typ, config := range map[string]sinks.Config{
		"discord": sinktest.DiscordConfig(t, sinktest.Receiver(t, discord.ServeHTTP)),
		"slack":   sinktest.SlackConfig(t, sinktest.Receiver(t, slack.ServeHTTP)),
	} {
		var mu sync.Mutex
		var attempts []pipeline.Attempt
		deliverAccounts(t, sinktest.OpenChat(t, config, func(a pipeline.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, a)
		}), records)
		var ids []string
		for _, a := range attempts {
			ids = append(ids, a.Events...)
			if a.Status != 200 || a.Error != "" || !strings.HasPrefix(a.Endpoint, "http://127.0.0.1:") || strings.Count(a.Endpoint, "/") != 2 ||
				a.Answer == "" || a.Latency <= 0 || a.Time.IsZero() || a.Sink != "" {
				t.Errorf("%s: attempt %+v", typ, a)
			}
		}
		if len(ids) != len(records) || ids[0] != records[0].ID || ids[199] != records[199].ID {
			t.Errorf("%s: the attempts name %d events", typ, len(ids))
		}
		if len(attempts) > 21 {
			t.Errorf("%s: %d messages for 200 treats", typ, len(attempts))
		}
	}
	discord.Report(t)
	slack.Report(t)
	embeds, _ := discord.Seen()
	sections, _ := slack.Seen()
	for i := range records {
		want := fmt.Sprintf("treat %d", i)
		if embeds[i].Description != want || sections[i] != "*GenerousViewer* sent *Pizza*\n"+want {
			t.Fatalf("treat %d: %q and %q", i, embeds[i].Description, sections[i])
		}
	}
}

// TestChatPoison uses a service that refuses one treat of a group, and checks that the others arrive.
func TestChatPoison(t *testing.T) {
	var records []pipeline.Record
	for i := range 23 {
		message := fmt.Sprintf("treat %d", i)
		if i == 7 || i == 22 {
			message = "poison"
		}
		records = append(records, chatRecord("a0", i, "GenerousViewer", "Pizza", message))
	}
	records[13].Line = []byte(`{"data":{"title":`)
	discord := &sinktest.FakeDiscord{Limit: 50, Window: 10 * time.Millisecond, Refuse: func(e sinktest.DiscordEmbed) bool { return e.Description == "poison" }}
	slack := &sinktest.FakeSlack{Refuse: func(text string) bool { return strings.Contains(text, "poison") }}
	for typ, config := range map[string]sinks.Config{
		"discord": sinktest.DiscordConfig(t, sinktest.Receiver(t, discord.ServeHTTP)),
		"slack":   sinktest.SlackConfig(t, sinktest.Receiver(t, slack.ServeHTTP)),
	} {
		sink := sinktest.OpenChat(t, config, nil)
		var dead []string
		for rest := records; len(rest) > 0; {
			n, err := sink.Deliver(t.Context(), rest)
			if n == 0 {
				if !pipeline.IsPermanent(err) || strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), rest[0].ID) {
					t.Fatalf("%s: %v", typ, err)
				}
				dead, n = append(dead, rest[0].ID), 1
			}
			rest = rest[n:]
		}
		if got := strings.Join(dead, " "); got != "trt_a0_0007 trt_a0_0013 trt_a0_0022" {
			t.Errorf("%s: dead letters: %s", typ, got)
		}
	}
	embeds, _ := discord.Seen()
	sections, _ := slack.Seen()
	if len(embeds) != 20 || len(sections) != 20 {
		t.Errorf("%d and %d treats arrived, want 20", len(embeds), len(sections))
	}
}

// TestChatFailsAlone has the service break on one treat of a group. After the group has failed the treats go one by one, so
// that only that one is blamed; the treats of another account go on in groups.
func TestChatFailsAlone(t *testing.T) {
	fake := &sinktest.FakeDiscord{Limit: 50, Window: 10 * time.Millisecond}
	url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("poison")) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		fake.ServeHTTP(w, r)
	})
	sink := sinktest.OpenChat(t, sinktest.DiscordConfig(t, url), nil)
	records := []pipeline.Record{
		chatRecord("a0", 0, "", "Pizza", ""), chatRecord("a0", 1, "", "Pizza", "poison"), chatRecord("a0", 2, "", "Pizza", ""),
		chatRecord("a0", 3, "", "Pizza", ""), chatRecord("a0", 4, "", "Pizza", ""),
	}
	other := []pipeline.Record{chatRecord("a1", 0, "", "Pizza", ""), chatRecord("a1", 1, "", "Pizza", "")}
	for i, c := range []struct {
		records []pipeline.Record
		want    int
	}{{records, 0}, {other, 2}, {records, 1}, {records[1:], 0}, {records[1:], 0}, {records[2:], 1}, {records[3:], 2}} {
		n, err := sink.Deliver(t.Context(), c.records)
		if n != c.want || (err == nil) != (n > 0) || pipeline.IsPermanent(err) || pipeline.IsUnavailable(err) {
			t.Errorf("delivery %d: %d, %v, want %d", i, n, err, c.want)
		}
	}
	fake.Report(t)
}

// TestChatTemplateFault checks that a template that fails for a treat is reported, and that the treat is kept.
func TestChatTemplateFault(t *testing.T) {
	fake := &sinktest.FakeDiscord{Limit: 50, Window: 10 * time.Millisecond}
	config := sinktest.DiscordConfig(t, sinktest.Receiver(t, fake.ServeHTTP))
	config.Template = `{{if eq .Title "Mud"}}{{index .Message 99}}{{end}}x`
	sink := sinktest.OpenChat(t, config, nil)
	records := []pipeline.Record{chatRecord("a0", 0, "", "Pizza", ""), chatRecord("a0", 1, "", "Mud", "")}
	if n, err := sink.Deliver(t.Context(), records); n != 1 || err != nil {
		t.Errorf("Deliver: %d, %v", n, err)
	}
	n, err := sink.Deliver(t.Context(), records[1:])
	if n != 0 || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "template: 1:") {
		t.Errorf("Deliver: %d, %v", n, err)
	}
}
