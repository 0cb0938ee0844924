package discord_test

import (
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/discord"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// TestDiscordForum wants all messages in one post of a forum, and another one when that has ended.
func TestDiscordForum(t *testing.T) {
	fake := &sinktest.FakeDiscord{Limit: 500, Window: time.Second, Forum: new(sinktest.FakeForum)}
	config := sinktest.DiscordConfig(t, sinktest.Receiver(t, fake.ServeHTTP))
	config.ThreadName = "Treats of the stream"
	sink := sinktest.OpenChat(t, config, nil)
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
		deliverAll(sinktest.Plain("a0", 25))
		fake.Mu.Lock()
		if posts := fake.Forum.Posts; len(posts) != i+1 || posts[i].Name != config.ThreadName || posts[i].Embeds != 25 {
			t.Errorf("posts %+v", posts)
		}
		fake.Forum.Posts[i].Ended = ended
		fake.Mu.Unlock()
	}
	fake.Report(t)
}

// TestDiscordChannel has a webhook whose channel is of another kind than the configuration says: that is the sink's fault, and the error says what to do.
func TestDiscordChannel(t *testing.T) {
	for name, c := range map[string]struct {
		forum  *sinktest.FakeForum
		change func(*discord.Config)
		want   string
	}{
		"forum":           {new(sinktest.FakeForum), func(*discord.Config) {}, "set thread_name"},
		"no forum":        {nil, func(c *discord.Config) { c.ThreadName = "Treats" }, "leave thread_name out"},
		"archived thread": {&sinktest.FakeForum{Posts: []sinktest.FakePost{{Ended: "archived"}}}, func(c *discord.Config) { c.ThreadID = "701" }, "open it again"},
		"locked thread":   {&sinktest.FakeForum{Posts: []sinktest.FakePost{{Ended: "locked"}}}, func(c *discord.Config) { c.ThreadID = "701" }, "unlock it"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &sinktest.FakeDiscord{Limit: 500, Window: time.Second, Forum: c.forum}
			config := sinktest.DiscordConfig(t, sinktest.Receiver(t, fake.ServeHTTP))
			c.change(config)
			n, err := sinktest.OpenChat(t, config, nil).Deliver(t.Context(), sinktest.Plain("a0", 25))
			if n != 0 || !pipeline.IsUnavailable(err) || pipeline.RefusalCode(err) == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Deliver: %d, code %q, %v", n, pipeline.RefusalCode(err), err)
			}
		})
	}
}

// TestDiscordThreadInFile wants a thread in the URL besides a name to be refused wherever the URL is kept.
func TestDiscordThreadInFile(t *testing.T) {
	config := sinktest.DiscordConfig(t, "http://127.0.0.1:1")
	config.ThreadName, config.URL = "Treats", secret.New(config.URL.Reveal()+"?thread_id=5")
	if _, err := sinks.Open(t.Context(), config, sinks.Env{}); err == nil || !strings.Contains(err.Error(), "thread_name: conflicts with a thread_id") {
		t.Errorf("Open: %v", err)
	}
}
