package sinks_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// fakeForum is a forum channel: it takes messages in posts only.
type fakeForum struct {
	posts []fakePost // the ids are 701 and so on
}

type fakePost struct {
	name   string
	embeds int
	ended  string // the refusal of what comes, if it takes no more
}

type fakeRefusal struct {
	status int
	body   string
}

// take returns the id of the channel that has the message.
func (f *fakeForum) take(id, name string, embeds int) (string, *fakeRefusal) {
	refuse := func(status, code int, message string) (string, *fakeRefusal) {
		return "", &fakeRefusal{status, fmt.Sprintf(`{"message":%q,"code":%d}`, message, code)}
	}
	switch {
	case id != "" && name != "":
		return refuse(400, 220002, "Webhooks posted to forum channels cannot have both a thread_name and thread_id")
	case f == nil && name != "":
		return refuse(400, 220003, "Webhooks can only create threads in forum channels")
	case f == nil:
		return "600", nil
	case id == "" && name == "":
		return refuse(400, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id")
	case name != "":
		f.posts = append(f.posts, fakePost{name: name, embeds: embeds})
		return fmt.Sprint(700 + len(f.posts)), nil
	}
	var n int
	if _, err := fmt.Sscan(id, &n); err != nil || n <= 700 || n > 700+len(f.posts) {
		return refuse(404, 10003, "Unknown Channel")
	}
	post := &f.posts[n-701]
	switch post.ended {
	case "archived":
		return refuse(400, 50083, "Thread is archived")
	case "locked":
		return refuse(403, 160005, "Thread is locked")
	case "deleted":
		return refuse(404, 10003, "Unknown Channel")
	}
	post.embeds += embeds
	return id, nil
}

// TestDiscordForum wants all messages in one post of a forum, and another one when that has ended.
func TestDiscordForum(t *testing.T) {
	fake := &fakeDiscord{limit: 500, window: time.Second, forum: new(fakeForum)}
	config := discordConfig(t, receiver(t, fake.ServeHTTP))
	config.ThreadName = "Treats of the stream"
	sink := openChat(t, config, nil)
	deliverAll := func(records []pipeline.Record) {
		t.Helper()
		for len(records) > 0 {
			n, err := sink.Deliver(t.Context(), records)
			if n == 0 || err != nil {
				t.Fatalf("Deliver: %d, %v", n, err)
			}
			records = records[n:]
		}
	}
	for i, ended := range []string{"archived", "locked", "deleted", ""} {
		deliverAll(plain("a0", 25))
		fake.mu.Lock()
		if posts := fake.forum.posts; len(posts) != i+1 || posts[i].name != config.ThreadName || posts[i].embeds != 25 {
			t.Errorf("posts %+v", posts)
		}
		fake.forum.posts[i].ended = ended
		fake.mu.Unlock()
	}
	fake.report(t)
}

// TestDiscordChannel has a webhook whose channel is of another kind than the configuration says: that is the sink's fault, and the error says what to do.
func TestDiscordChannel(t *testing.T) {
	for name, c := range map[string]struct {
		forum  *fakeForum
		change func(*sinks.DiscordConfig)
		want   string
	}{
		"forum":           {new(fakeForum), func(*sinks.DiscordConfig) {}, "set thread_name"},
		"no forum":        {nil, func(c *sinks.DiscordConfig) { c.ThreadName = "Treats" }, "leave thread_name out"},
		"archived thread": {&fakeForum{posts: []fakePost{{ended: "archived"}}}, func(c *sinks.DiscordConfig) { c.ThreadID = "701" }, "open it again"},
		"locked thread":   {&fakeForum{posts: []fakePost{{ended: "locked"}}}, func(c *sinks.DiscordConfig) { c.ThreadID = "701" }, "unlock it"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeDiscord{limit: 500, window: time.Second, forum: c.forum}
			config := discordConfig(t, receiver(t, fake.ServeHTTP))
			c.change(config)
			n, err := openChat(t, config, nil).Deliver(t.Context(), plain("a0", 25))
			if n != 0 || !pipeline.IsUnavailable(err) || pipeline.RefusalCode(err) == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Deliver: %d, code %q, %v", n, pipeline.RefusalCode(err), err)
			}
		})
	}
}

// TestDiscordThreadInFile wants a thread in the URL besides a name to be refused wherever the URL is kept.
func TestDiscordThreadInFile(t *testing.T) {
	config := discordConfig(t, "http://127.0.0.1:1")
	config.ThreadName, config.URL = "Treats", secret.New(config.URL.Reveal()+"?thread_id=5")
	if _, err := sinks.Open(t.Context(), config, sinks.Env{}); err == nil || !strings.Contains(err.Error(), "thread_name: is set besides a thread_id") {
		t.Errorf("Open: %v", err)
	}
}

// TestChatRefusesAll has a service refuse whatever it gets, and wants few requests for 50 treats, each refused with the same code. What is
// the sink's fault shows at the first request.
func TestChatRefusesAll(t *testing.T) {
	const form = `{"message":"Invalid Form Body","code":50035,"errors":{%s}}`
	for _, c := range []struct {
		typ    string
		status int
		body   string
		want   string
		code   string // none: the webhook is gone
	}{
		{"discord", 400, `{"message":"Webhooks posted to forum channels must have a thread_name or thread_id","code":220001}`, "unavailable", "400 220001"},
		{"discord", 400, `{"message":"Thread is archived","code":50083}`, "unavailable", "400 50083"},
		{"discord", 403, `{"message":"Thread is locked","code":160005}`, "unavailable", "403 160005"},
		{"discord", 400, `{"message":"A tag is required to create a forum post in this channel","code":40067}`, "unavailable", "400 40067"},
		{"discord", 400, fmt.Sprintf(form, `"username":{"_errors":[{"code":"USERNAME_INVALID_CONTAINS","message":"Username cannot contain \"wumpus\""}]}`), "unavailable", "400 50035 username"},
		{"discord", 400, fmt.Sprintf(form, `"embeds":{"3":{"description":{"_errors":[{"code":"BASE_TYPE_MAX_LENGTH"}]}},"1":{"description":{"_errors":[{"code":"X"}]}}}`), "permanent", "400 50035 embeds.*.description"},
		{"discord", 400, `{"message":"Message was blocked by automatic moderation","code":200000}`, "permanent", "400 200000"},
		{"slack", 400, "invalid_payload", "permanent", "400 invalid_payload"},
		{"slack", 400, "invalid_blocks", "permanent", "400 invalid_blocks"},
		{"slack", 400, "no_text\n", "permanent", "400 no_text"},
		{"slack", 404, "user_not_found", "gone", ""},
		{"slack", 400, "a word nobody knows", "permanent", "400"},
	} {
		t.Run(c.typ+" "+c.body, func(t *testing.T) {
			var requests atomic.Int32
			url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			sink, records := chatSink(t, c.typ, url, sinks.DefaultChatTimeout, nil), plain("a0", 50)
			for len(records) > 0 {
				n, err := sink.Deliver(t.Context(), records)
				if got := chatVerdict(err); got != c.want || n != 0 || pipeline.RefusalCode(err) != c.code {
					t.Fatalf("%s with code %q, want %s with %q: %d, %v", got, pipeline.RefusalCode(err), c.want, c.code, n, err)
				}
				if c.want != "permanent" {
					break // The lane waits.
				}
				records = records[1:]
			}
			want := int32(1)
			if c.want == "permanent" {
				want = 50 + 3 // To find out which of the first ten it is.
			}
			if got := requests.Load(); got != want {
				t.Errorf("%d requests, want %d", got, want)
			}
		})
	}
}

// TestChatDoubtsNoLonger wants whole messages again as soon as one record was accepted.
func TestChatDoubtsNoLonger(t *testing.T) {
	fake := &fakeSlack{refuse: func(text string) bool { return strings.Contains(text, "treat 0") }}
	sink, records := openChat(t, slackConfig(t, receiver(t, fake.ServeHTTP)), nil), plain("a0", 21)
	var took []int
	for len(records) > 0 {
		n, err := sink.Deliver(t.Context(), records)
		if (n == 0) != pipeline.IsPermanent(err) {
			t.Fatalf("Deliver: %d, %v", n, err)
		}
		took = append(took, n)
		records = records[max(n, 1):]
	}
	if got := fmt.Sprint(took); got != "[0 1 10 9]" {
		t.Errorf("records a message: %s", got)
	}
	fake.report(t)
}
