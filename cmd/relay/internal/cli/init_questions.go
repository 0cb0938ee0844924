package cli

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
	"github.com/treatrelay/relay/sinks"
)

// initAnswers are what relay init writes into the configuration: flags, or answers on the terminal.
type initAnswers struct{ starter.Answers }

// A question is one value that relay init needs, from a flag or from the user.
type question struct {
	flag          string
	prompt        string
	applies       func() bool               // given the answers to the questions before it
	value         func() string             // the value of the flag
	defaultAnswer func() string             // what an empty answer means
	optional      bool                      // an empty answer is valid
	flagOnly      bool                      // the user is not asked
	set           func(answer string) error // validates the answer and stores it
}

// questions returns all questions, in the order in which they are asked.
func (a *initAnswers) questions() []question {
	always := func() bool { return true }
	hasClient := func() bool { return a.ProviderInfo().Grant != provider.PersonalToken }
	hasSink := func(typ string) func() bool {
		return func() bool { return slices.Contains(a.Sinks, typ) }
	}
	account := textQuestion("account", "name for the account", &a.Account, always, starter.CheckName)
	account.defaultAnswer = func() string { return starter.DefaultAccount(a.ProviderInfo()) }
	name := textQuestion("provider", "provider of the account: "+strings.Join(config.ProviderNames(), ", "), &a.Provider, always, starter.CheckProvider)
	name.defaultAnswer = func() string { return "treatstream" }
	secretFile := textQuestion("client-secret-file", "file with the client secret", &a.ClientSecretFile, hasClient, starter.CheckNotEmpty)
	webhookFile := textQuestion("webhook-url-file", "file with the URL of the webhook", &a.Webhook.URLFile, hasSink("webhook"), starter.CheckNotEmpty)
	discord := textQuestion("discord-url-file", "file with the URL of the Discord webhook; empty for the variable DISCORD_URL", &a.DiscordURLFile, hasSink("discord"), checkOptionalFile)
	slack := textQuestion("slack-url-file", "file with the URL of the Slack webhook; empty for the variable SLACK_URL", &a.SlackURLFile, hasSink("slack"), checkOptionalFile)
	secretFile.optional, webhookFile.optional, discord.optional, slack.optional = true, true, true, true
	secretFile.flagOnly, webhookFile.flagOnly = true, true
	return []question{
		name,
		account,
		textQuestion("client-id", "client ID of your application at the provider", &a.ClientID, hasClient, starter.CheckNotEmpty),
		secretFile,
		textQuestion("base-url", "URL of the API, such as https://api.example.com", &a.BaseURL,
			func() bool { return a.ProviderInfo().Grant == provider.ClientCredentials || a.BaseURL != "" }, config.CheckURL),
		a.sinksQuestion(),
		webhookFile,
		textQuestion("webhook-url", "URL that the webhook sends to, such as https://bot.example/treats", &a.Webhook.URL,
			func() bool { return hasSink("webhook")() && a.Webhook.URLFile == "" }, starter.CheckWebhookURL),
		discord,
		slack,
	}
}

// textQuestion returns a question whose answer is one line of text without a default. check validates the answer.
func textQuestion(flag, prompt string, into *string, applies func() bool, check func(string) error) question {
	return question{
		flag: flag, prompt: prompt, applies: applies,
		value: func() string { return *into }, defaultAnswer: func() string { return "" },
		set: func(answer string) error {
			if err := starter.CheckText(answer); err != nil {
				return err
			}
			*into = answer
			return check(answer)
		},
	}
}

func (a *initAnswers) sinksQuestion() question {
	return question{
		flag: "sink", prompt: "sinks, separated by commas: " + strings.Join(sinks.Types(), ", "),
		applies:       func() bool { return a.ProviderInfo().Endpoints.Socket != "" || len(a.Sinks) > 0 },
		value:         func() string { return strings.Join(a.Sinks, ",") },
		defaultAnswer: func() string { return "" },
		set:           a.setSinks,
	}
}

func (a *initAnswers) setSinks(answer string) error {
	var types []string
	for _, typ := range strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if err := starter.CheckSinkType(typ); err != nil {
			return err
		}
		if !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	a.Sinks = types
	if types == nil {
		return errors.New("name at least one: " + strings.Join(sinks.Types(), ", "))
	}
	return nil
}

func checkOptionalFile(path string) error {
	if path == "" {
		return nil
	}
	return config.CheckReadable(path)
}
