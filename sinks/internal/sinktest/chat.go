package sinktest

import (
	"testing"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/discord"
	"github.com/treatrelay/relay/sinks/slack"
)

// OpenChat opens a chat sink of that configuration, whose attempts go to attempt.
func OpenChat(t *testing.T, config sinks.Config, attempt func(pipeline.Attempt)) pipeline.Sink {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := sinks.Open(t.Context(), config, sinks.Env{Name: "chat", UserAgent: "relay/test", Attempt: attempt})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// DiscordConfig is the configuration of a discord sink that sends to a [FakeDiscord] at url.
func DiscordConfig(t *testing.T, url string) *discord.Config {
	t.Helper()
	config, ok := sinks.NewConfig("discord").(*discord.Config)
	if !ok {
		t.Fatal("no discord configuration")
	}
	config.URL = secret.New(url + "/api" + DiscordPath)
	return config
}

// SlackConfig is the configuration of a slack sink that sends to a [FakeSlack] at url.
func SlackConfig(t *testing.T, url string) *slack.Config {
	t.Helper()
	config, ok := sinks.NewConfig("slack").(*slack.Config)
	if !ok {
		t.Fatal("no slack configuration")
	}
	config.URL = secret.New(url + SlackPath)
	return config
}
