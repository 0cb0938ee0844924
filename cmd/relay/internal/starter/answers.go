package starter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/webhook"
)

// Answers are what a first configuration says. A secret without a file is in an environment variable, see [Answers.SecretVariable].
type Answers struct {
	Provider, Account, ClientID, ClientSecretFile, BaseURL string
	NoSecret                                               bool     // the client has none
	Sinks                                                  []string // types
	Webhook                                                Webhook
	DiscordURLFile, SlackURLFile                           string
	Overlay                                                string // the name of an overlay; empty: none
	Listen                                                 string // http.listen; empty: the default
}

// Webhook is the destination of a webhook sink.
type Webhook struct {
	URL, URLFile string // one of them
	SecretFile   string // with the signing secret; empty: it is in an environment variable
}

// ProviderInfo returns the provider. It is the zero value if the name is not valid.
func (a *Answers) ProviderInfo() provider.Provider {
	p, _ := provider.Lookup(a.Provider)
	return p
}

// DefaultAccount returns the suggested name of an account at a provider.
func DefaultAccount(p provider.Provider) string {
	if p.Name != "" && p.Endpoints.Socket == "" {
		return p.Name
	}
	return "mystream"
}

// CheckText validates an answer of one line.
func CheckText(answer string) error {
	if strings.ContainsFunc(answer, unicode.IsControl) {
		return errors.New("want one line of text without control characters")
	}
	return nil
}

// CheckProvider validates the name of a provider.
func CheckProvider(name string) error {
	if _, ok := provider.Lookup(name); !ok {
		return fmt.Errorf("there is no provider %q; %s", name, text.Suggest(name, config.ProviderNames()))
	}
	return nil
}

// CheckName validates the name of an account.
func CheckName(name string) error {
	if !config.ValidName.MatchString(name) {
		return errors.New(config.NameRule)
	}
	return nil
}

// CheckSinkType validates the type of a sink.
func CheckSinkType(typ string) error {
	if !slices.Contains(sinks.Types(), typ) {
		return fmt.Errorf("there is no sink type %q; %s", typ, text.Suggest(typ, sinks.Types()))
	}
	return nil
}

// CheckNotEmpty rejects an empty answer.
func CheckNotEmpty(answer string) error {
	if answer == "" {
		return errors.New("is empty")
	}
	return nil
}

// CheckWebhookURL validates a URL as a webhook sink does. A URL with a variable is validated with the whole configuration instead.
func CheckWebhookURL(url string) error {
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
