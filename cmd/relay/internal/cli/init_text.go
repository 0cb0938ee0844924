package cli

import (
	"strings"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	relaydocs "github.com/treatrelay/relay/docs"
	"github.com/treatrelay/relay/sinks/webhook"
)

// The variables that a first configuration refers to, beside that of the client secret.
const (
	webhookSecretVariable = "WEBHOOK_SECRET"
	discordVariable       = "DISCORD_URL"
	slackVariable         = "SLACK_URL"
)

// secretVariable is the variable of the account's client secret.
func (f *initFlags) secretVariable() string {
	return strings.ToUpper(strings.ReplaceAll(f.provider, "-", "_")) + "_SECRET"
}

// variableIs says what a variable of the configuration is to hold.
func (f *initFlags) variableIs(name string) string {
	switch name {
	case f.secretVariable():
		return "the client secret"
	case webhookSecretVariable:
		return "what relay secrets new prints; give it to the receiver too"
	case discordVariable:
		return "https://discord.com/api/webhooks/ID/TOKEN"
	case slackVariable:
		return "https://hooks.slack.com/services/..."
	}
	return "as you named it"
}

// standIn is a value that a variable may have.
func standIn(name string) string {
	switch name {
	case webhookSecretVariable:
		return webhook.NewSigningSecret().Reveal()
	case discordVariable:
		return "https://discord.com/api/webhooks/1/x"
	case slackVariable:
		return "https://hooks.slack.com/services/T/B/x"
	}
	return "https://example.com/" // which may be a URL and a text
}

// text is the configuration.
func (f *initFlags) text() string {
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(strings.Join(parts, "") + "\n") }
	p, _ := provider.Lookup(f.provider)
	receives := p.Endpoints.Socket != ""

	line("# yaml-language-server: $schema=", relaydocs.ConfigSchemaURL)
	line("#")
	line("# The configuration of relay. relay config check finds what is wrong in it, and every key is described at")
	line("# https://github.com/treatrelay/relay/blob/main/docs/config.md. ${VAR} is the environment variable VAR. Secrets belong into one, or")
	line("# into a file that a key such as client_secret_file names.")
	line()
	line("accounts:")
	line("  # A name of your choice, which commands take.")
	line("  ", f.account, ":")
	line("    provider: ", f.provider)
	if f.baseURL != "" {
		line("    base_url: ", text.QuoteYAML(f.baseURL))
	}
	if p.Grant != provider.PersonalToken {
		line("    client_id: ", text.QuoteYAML(f.clientID))
		if f.clientSecretFile != "" {
			line("    client_secret_file: ", text.QuoteYAML(f.path(f.clientSecretFile)))
		} else {
			line("    client_secret: ${", f.secretVariable(), "}")
		}
	}
	if p.Grant != provider.PersonalToken && p.Grant != provider.ClientCredentials {
		line("    # The redirect URL as it is saved at ", p.Title, ". relay auth login listens there.")
		line("    # redirect_url: ", config.DefaultRedirectURL)
	}
	if receives {
		line("    # The time zone of the dates that ", p.Title, " sends. Set it if times are off by whole hours.")
		line("    # timezone: UTC")
	}
	line()
	if len(f.sinks) > 0 {
		line("# Where treats go. Each sink takes a filter, a rate_limit and more, and waits for no other.")
		line("sinks:")
	}
	for _, typ := range f.sinks {
		for _, part := range f.sink(typ) {
			line("  ", part)
		}
	}
	if receives {
		line()
		line("# The sink that is told when another is in trouble.")
		line("# alerts:")
		line("#   sink: ", sinkName(f.sinks[len(f.sinks)-1]))
		line()
		line("# How long events are kept. What a sink has not taken by then is lost to it.")
		line("# journal:")
		line("#   retention: ", config.WrittenDuration(config.DefaultRetention))
		line()
		line("# Where overlays reach relay's own NATS server, if a nats sink uses it.")
		line("# nats:")
		line("#   listen: ", config.DefaultNATSListen)
	}
	line()
	line("# Where relay answers /healthz and /metrics.")
	line("# http:")
	line("#   listen: 127.0.0.1:8350")
	return b.String()
}

// sinkName is the name of the first sink of a type.
func sinkName(typ string) string {
	switch typ {
	case "stdout":
		return "console"
	case "nats":
		return "overlay"
	case "webhook":
		return "bot"
	case "discord":
		return "chat"
	case "slack":
		return "team"
	}
	return typ
}

// sink is the part of the configuration that is about the sink of a type.
func (f *initFlags) sink(typ string) []string {
	lines := []string{sinkName(typ) + ":", "  type: " + typ}
	secretURL := func(about, file, variable string) []string {
		if file != "" {
			return append([]string{about}, append(lines, "  url_file: "+text.QuoteYAML(f.path(file)))...)
		}
		return append([]string{about}, append(lines, "  url: ${"+variable+"}")...)
	}
	switch typ {
	case "stdout":
		return append([]string{"# One line of JSON for each event, on standard output."}, lines...)
	case "nats":
		return append([]string{"# For overlays, which subscribe to treats.> with the login that relay prints when it first starts."}, lines...)
	case "webhook":
		url := "  url: " + text.QuoteYAML(f.webhookURL)
		if f.webhookURLFile != "" {
			url = "  url_file: " + text.QuoteYAML(f.path(f.webhookURLFile))
		}
		return append([]string{"# One signed request for each event."}, append(lines, url,
			"  # The receiver verifies each request with the same secret. relay secrets new makes one.",
			"  secret: ${"+webhookSecretVariable+"}")...)
	case "discord":
		return secretURL("# A message in a Discord channel for each event.", f.discordURLFile, discordVariable)
	case "slack":
		return secretURL("# A message in a Slack channel for each event.", f.slackURLFile, slackVariable)
	}
	return lines
}
