package cli

import (
	"path/filepath"
	"strings"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	relaydocs "github.com/treatrelay/relay/docs"
	"github.com/treatrelay/relay/sinks/webhook"
)

// The environment variables that a first configuration refers to, besides the one of the client secret.
const (
	webhookSecretVariable = "WEBHOOK_SECRET"
	discordVariable       = "DISCORD_URL"
	slackVariable         = "SLACK_URL"
)

// secretVariable is the name of the environment variable of the client secret.
func (a *initAnswers) secretVariable() string {
	return strings.ToUpper(strings.ReplaceAll(a.provider, "-", "_")) + "_SECRET"
}

// describeVariable describes the value to set an environment variable to.
func (a *initAnswers) describeVariable(name string) string {
	switch name {
	case a.secretVariable():
		return "the client secret"
	case webhookSecretVariable:
		return "the output of relay secrets new; give it to the receiver too"
	case discordVariable:
		return "https://discord.com/api/webhooks/ID/TOKEN"
	case slackVariable:
		return "https://hooks.slack.com/services/..."
	}
	return "the value that you chose this variable for"
}

// exampleValue returns a valid value of an environment variable, to validate the configuration with.
func exampleValue(variable string) string {
	switch variable {
	case webhookSecretVariable:
		return webhook.NewSigningSecret().Reveal()
	case discordVariable:
		return "https://discord.com/api/webhooks/1/x"
	case slackVariable:
		return "https://hooks.slack.com/services/T/B/x"
	}
	return "https://example.com/" // valid as a URL and as text
}

// configText returns the configuration for a file at that path.
func (a *initAnswers) configText(output string) string {
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
	if len(a.sinks) > 0 {
		line("# Where relay delivers treats. Every sink can have a filter, a rate_limit and more, and none waits for another.")
		line("sinks:")
	}
	for _, typ := range a.sinks {
		for _, part := range a.sinkLines(typ, output) {
			line("  ", part)
		}
	}
	if a.providerInfo().Endpoints.Socket != "" {
		line()
		line("# The sink that receives alerts when another one has a problem.")
		line("# alerts:")
		line("#   sink: ", sinkName(a.sinks[len(a.sinks)-1]))
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
	line("# http:")
	line("#   listen: ", config.DefaultHTTPListen)
	return b.String()
}

func (a *initAnswers) writeAccount(line func(parts ...string), output string) {
	p := a.providerInfo()
	line("accounts:")
	line("  # A name of your choice, for commands such as relay auth login.")
	line("  ", a.account, ":")
	line("    provider: ", a.provider)
	if a.baseURL != "" {
		line("    base_url: ", text.QuoteYAML(a.baseURL))
	}
	if p.Grant != provider.PersonalToken {
		line("    client_id: ", text.QuoteYAML(a.clientID))
		if a.clientSecretFile != "" {
			line("    client_secret_file: ", text.QuoteYAML(pathFrom(output, a.clientSecretFile)))
		} else {
			line("    client_secret: ${", a.secretVariable(), "}")
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

// sinkName returns the name of the sink of a type.
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

// sinkLines returns the lines of the sink of a type.
func (a *initAnswers) sinkLines(typ, output string) []string {
	lines := []string{sinkName(typ) + ":", "  type: " + typ}
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
		url := "  url: " + text.QuoteYAML(a.webhookURL)
		if a.webhookURLFile != "" {
			url = urlFile(a.webhookURLFile)
		}
		return append([]string{"# One signed request per event."}, append(lines, url,
			"  # The receiver verifies each request with the same secret. To create one, run: relay secrets new",
			"  secret: ${"+webhookSecretVariable+"}")...)
	case "discord":
		return chat("# A message in a Discord channel per event.", a.discordURLFile, discordVariable)
	case "slack":
		return chat("# A message in a Slack channel per event.", a.slackURLFile, slackVariable)
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
