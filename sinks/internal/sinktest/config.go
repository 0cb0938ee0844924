package sinktest

import (
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/treatrelay/relay/sinks"
)

// Decode reads a sink's configuration as a user writes it.
func Decode(t *testing.T, typ, text string) sinks.Config {
	t.Helper()
	config := sinks.NewConfig(typ)
	if err := yaml.UnmarshalWithOptions([]byte(text), config, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return config
}

// GoodHook is all that the configuration of a webhook sink needs.
const GoodHook = "url: https://bot.example/treats\nsecret: " + WebhookSecret + "\n"
