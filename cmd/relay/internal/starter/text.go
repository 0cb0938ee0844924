// Package starter writes a first relay.yaml, with comments, from a few answers.
package starter

import (
	"path/filepath"
	"strings"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	relaydocs "github.com/treatrelay/relay/docs"
	"github.com/treatrelay/relay/sinks/webhook"
)

// The environment variables that a first configuration refers to, besides that of the client secret.
const (
	WebhookSecretVariable = "WEBHOOK_SECRET"
	DiscordVariable       = "DISCORD_URL"
	SlackVariable         = "SLACK_URL"
)

// SecretVariable returns the name of the environment variable of the client secret.
func (a *Answers) SecretVariable() string {
	return strings.ToUpper(strings.ReplaceAll(a.Provider, "-", "_")) + "_SECRET"
}

// DescribeVariable describes the value to set an environment variable to.
func (a *Answers) DescribeVariable(name string) string {
	switch name {
	case a.SecretVariable():
		return "the client secret"
	case WebhookSecretVariable:
		return "the output of relay secrets new; give it to the receiver too"
	case DiscordVariable:
		return "https://discord.com/api/webhooks/ID/TOKEN"
	case SlackVariable:
		return "https://hooks.slack.com/services/..."
	}
	return "the value that you chose this variable for"
}

// ExampleValue returns a valid value of an environment variable, to validate the configuration with.
func ExampleValue(variable string) string {
	switch variable {
	case WebhookSecretVariable:
		return webhook.NewSigningSecret().Reveal()
	case DiscordVariable:
		return "https://discord.com/api/webhooks/1/x"
	case SlackVariable:
		return "https://hooks.slack.com/services/T/B/x"
	}
	return "https://example.com/" // valid as a URL and as text
}

// Text returns the configuration for a file at that path.
func (a *Answers) Text(output string) string {
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(strings.Join(parts, "") + "\n") }
	line("# yaml-language-server: $schema=", relaydocs.ConfigSchemaURL)
	line("#")
	line("# The configuration of relay. To check it, run: relay config check. All keys are described at")
	line("# https://github.com/treatrelay/relay/blob/main/docs/config.md. ${VAR} is the environment variable VAR. Keep secrets in variables, or")
	line("# in files that keys such as client_secret_file name.")
	line()
	a.writeAccount(line, output)
	line()
	if len(a.Sinks) > 0 {
		line("# Where relay delivers treats. Every sink can have a filter, a rate_limit and more, and none waits for another.")
		line("sinks:")
	}
	for _, typ := range a.Sinks {
		for _, part := range a.sinkLines(typ, output) {
			line("  ", part)
		}
	}
	a.writeOverlay(line)
	if a.ProviderInfo().Endpoints.Socket != "" {
		if len(a.Sinks) > 0 {
			line()
			line("# The sink that receives alerts when another one has a problem.")
			line("# alerts:")
			line("#   sink: ", SinkName(a.Sinks[len(a.Sinks)-1]))
		}
		line()
		line("# How long the journal keeps events. A sink loses what it has not accepted by then.")
		line("# journal:")
		line("#   retention: ", config.WrittenDuration(config.DefaultRetention))
		line()
		line("# Where overlays connect to relay's own NATS server, if a nats sink uses it.")
		line("# nats:")
		line("#   listen: ", config.DefaultNATSListen)
	}
	line()
	line("# Where relay serves the dashboard, the overlays, /healthz and /metrics.")
	mark, listen := "# ", config.DefaultHTTPListen
	if a.Listen != "" && a.Listen != listen {
		mark, listen = "", a.Listen
	}
	line(mark, "http:")
	line(mark, "  listen: ", listen)
	return b.String()
}

// writeOverlay writes the section overlays, if there is an overlay.
func (a *Answers) writeOverlay(line func(parts ...string)) {
	if a.Overlay == "" {
		return
	}
	if len(a.Sinks) > 0 {
		line()
	}
	line("# The page that shows treats in OBS. To print its address, run: relay overlay new ", a.Overlay)
	line("overlays:")
	line("  ", a.Overlay, ":")
	line("    theme: clean")
	line("    # The sound of an alert: chime, pop, none, or a file.")
	line("    # sound: chime")
}

func (a *Answers) writeAccount(line func(parts ...string), output string) {
	p := a.ProviderInfo()
	line("accounts:")
	line("  # A name of your choice, for commands such as relay auth login.")
	line("  ", a.Account, ":")
	line("    provider: ", a.Provider)
	if a.BaseURL != "" {
		line("    base_url: ", text.QuoteYAML(a.BaseURL))
	}
	if p.Grant != provider.PersonalToken {
		line("    client_id: ", text.QuoteYAML(a.ClientID))
		switch {
		case a.NoSecret:
		case a.ClientSecretFile != "":
			line("    client_secret_file: ", text.QuoteYAML(pathFrom(output, a.ClientSecretFile)))
		default:
			line("    client_secret: ${", a.SecretVariable(), "}")
		}
	}
	if p.Grant != provider.PersonalToken && p.Grant != provider.ClientCredentials {
		line("    # The redirect URL, as it is registered at ", p.Title, ". relay auth login listens there.")
		line("    # redirect_url: ", config.DefaultRedirectURL)
	}
	if p.Endpoints.Socket != "" {
		line("    # The time zone of the dates that ", p.Title, " sends. Set it if times are wrong by whole hours.")
		line("    # timezone: UTC")
	}
}

// SinkName returns the name of the sink of a type.
func SinkName(typ string) string {
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

// sinkLines returns the lines of the sink of a type.
func (a *Answers) sinkLines(typ, output string) []string {
	lines := []string{SinkName(typ) + ":", "  type: " + typ}
	urlFile := func(file string) string { return "  url_file: " + text.QuoteYAML(pathFrom(output, file)) }
	chat := func(comment, file, variable string) []string {
		url := "  url: ${" + variable + "}"
		if file != "" {
			url = urlFile(file)
		}
		return append([]string{comment}, append(lines, url)...)
	}
	switch typ {
	case "stdout":
		return append([]string{"# One line of JSON per event, on standard output."}, lines...)
	case "nats":
		return append([]string{"# For overlays, which subscribe to treats.> with the login that relay prints when it first starts."}, lines...)
	case "webhook":
		url := "  url: " + text.QuoteYAML(a.Webhook.URL)
		if a.Webhook.URLFile != "" {
			url = urlFile(a.Webhook.URLFile)
		}
		secret := []string{
			"  # The receiver verifies each request with the same secret. To create one, run: relay secrets new",
			"  secret: ${" + WebhookSecretVariable + "}",
		}
		if a.Webhook.SecretFile != "" {
			secret = []string{
				"  # The receiver verifies each request with the secret in this file.",
				"  secret_file: " + text.QuoteYAML(pathFrom(output, a.Webhook.SecretFile)),
			}
		}
		return append([]string{"# One signed request per event."}, append(append(lines, url), secret...)...)
	case "discord":
		return chat("# A message in a Discord channel per event.", a.DiscordURLFile, DiscordVariable)
	case "slack":
		return chat("# A message in a Slack channel per event.", a.SlackURLFile, SlackVariable)
	}
	return lines
}

// pathFrom returns the path of a file from the command line as a configuration at output must name it: relative paths in a configuration
// start at its folder.
func pathFrom(output, file string) string {
	if filepath.Dir(output) == "." {
		return file
	}
	if absolute, err := filepath.Abs(file); err == nil {
		return absolute
	}
	return file
}
