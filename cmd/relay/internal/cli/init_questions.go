package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/webhook"
)

// initAnswers are what relay init writes into the configuration: flags, or answers on the terminal.
type initAnswers struct {
	provider, account, clientID, clientSecretFile, baseURL   string
	sinks                                                    []string // types
	webhookURL, webhookURLFile, discordURLFile, slackURLFile string
}

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
	hasClient := func() bool { return a.providerInfo().Grant != auth.PersonalToken }
	hasSink := func(typ string) func() bool {
		return func() bool { return slices.Contains(a.sinks, typ) }
	}
	account := textQuestion("account", "name for the account", &a.account, always, checkName)
	account.defaultAnswer = a.defaultAccount
	provider := textQuestion("provider", "provider of the account: "+strings.Join(config.ProviderNames(), ", "), &a.provider, always, checkProvider)
	provider.defaultAnswer = func() string { return "treatstream" }
	secretFile := textQuestion("client-secret-file", "file with the client secret", &a.clientSecretFile, hasClient, checkNotEmpty)
	webhookFile := textQuestion("webhook-url-file", "file with the URL of the webhook", &a.webhookURLFile, hasSink("webhook"), checkNotEmpty)
	discord := textQuestion("discord-url-file", "file with the URL of the Discord webhook; empty for the variable DISCORD_URL", &a.discordURLFile, hasSink("discord"), checkOptionalFile)
	slack := textQuestion("slack-url-file", "file with the URL of the Slack webhook; empty for the variable SLACK_URL", &a.slackURLFile, hasSink("slack"), checkOptionalFile)
	secretFile.optional, webhookFile.optional, discord.optional, slack.optional = true, true, true, true
	secretFile.flagOnly, webhookFile.flagOnly = true, true
	return []question{
		provider,
		account,
		textQuestion("client-id", "client ID of your application at the provider", &a.clientID, hasClient, checkNotEmpty),
		secretFile,
		textQuestion("base-url", "URL of the API, such as https://api.example.com", &a.baseURL,
			func() bool { return a.providerInfo().Grant == auth.ClientCredentials || a.baseURL != "" }, config.CheckURL),
		a.sinksQuestion(),
		webhookFile,
		textQuestion("webhook-url", "URL that the webhook sends to, such as https://bot.example/treats", &a.webhookURL,
			func() bool { return hasSink("webhook")() && a.webhookURLFile == "" }, checkWebhookURL),
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
			if strings.ContainsFunc(answer, unicode.IsControl) {
				return errors.New("want one line of text without control characters")
			}
			*into = answer
			return check(answer)
		},
	}
}

func (a *initAnswers) sinksQuestion() question {
	return question{
		flag: "sink", prompt: "sinks, separated by commas: " + strings.Join(sinks.Types(), ", "),
		applies:       func() bool { return a.providerInfo().Endpoints.Socket != "" || len(a.sinks) > 0 },
		value:         func() string { return strings.Join(a.sinks, ",") },
		defaultAnswer: func() string { return "" },
		set:           a.setSinks,
	}
}

// providerInfo returns the provider; it is the zero value until the user chooses a valid one.
func (a *initAnswers) providerInfo() auth.Provider {
	p, _ := auth.Lookup(a.provider)
	return p
}

func (a *initAnswers) defaultAccount() string {
	if p := a.providerInfo(); p.Name != "" && p.Endpoints.Socket == "" {
		return p.Name
	}
	return "mystream"
}

func (a *initAnswers) setSinks(answer string) error {
	var types []string
	for _, typ := range strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if !slices.Contains(sinks.Types(), typ) {
			return fmt.Errorf("there is no sink type %q; %s", typ, text.Suggest(typ, sinks.Types()))
		}
		if !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	a.sinks = types
	if types == nil {
		return errors.New("name at least one: " + strings.Join(sinks.Types(), ", "))
	}
	return nil
}

func checkProvider(name string) error {
	if _, ok := auth.Lookup(name); !ok {
		return fmt.Errorf("there is no provider %q; %s", name, text.Suggest(name, config.ProviderNames()))
	}
	return nil
}

func checkName(name string) error {
	if !config.ValidName.MatchString(name) {
		return errors.New(config.NameRule)
	}
	return nil
}

func checkNotEmpty(answer string) error {
	if answer == "" {
		return errors.New("is empty")
	}
	return nil
}

func checkOptionalFile(path string) error {
	if path == "" {
		return nil
	}
	return config.CheckReadable(path)
}

// checkWebhookURL validates a URL as a webhook sink does. A URL with a variable is validated with the whole configuration instead.
func checkWebhookURL(url string) error {
	if strings.Contains(url, "${") {
		return nil
	}
	c := webhook.NewConfig()
	c.URL, c.Secret = secret.New(url), webhook.NewSigningSecret()
	err := c.Validate()
	if fault, ok := errors.AsType[*sinks.FieldError](err); ok {
		return fault.Err
	}
	return err
}
