package setup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/webhook"
)

// A form is a request that is valid: the configuration, and the files with its secrets.
type form struct {
	answers starter.Answers
	files   []secretFile
}

// A secretFile is a file beside relay.yaml with one secret.
type secretFile struct {
	name    string
	content secret.String
}

func (f *form) names() []string {
	names := []string{}
	for _, file := range f.files {
		names = append(names, file.name)
	}
	return names
}

// faults collects what is wrong with the fields of a request.
type faults []api.FieldError

// check adds err, if it is one, as a fault of a field, and reports whether there was none.
func (f *faults) check(field string, err error) bool {
	if err != nil {
		*f = append(*f, api.FieldError{Field: field, Detail: err.Error()})
	}
	return err == nil
}

// line checks a text of one line that must not be empty.
func (f *faults) line(field, text string) bool {
	return f.check(field, starter.CheckText(text)) && f.check(field, starter.CheckNotEmpty(text))
}

func wantsURL(typ string) bool { return typ == "webhook" || typ == "discord" || typ == "slack" }

func secretOptional(p provider.Provider) bool { return p.Login.SecretOptional || p.Login.PKCE }

// form checks a request. Fields that the provider has no use for are ignored: whoever changes the provider on the page leaves them behind.
func (s *Setup) form(order api.SetupRequest) (form, []api.FieldError) {
	var wrong faults
	for _, text := range []*string{&order.Provider, &order.Account, &order.ClientID, &order.ClientSecret, &order.BaseURL} {
		*text = strings.TrimSpace(*text)
	}
	if !wrong.check("provider", starter.CheckProvider(order.Provider)) {
		return form{}, wrong
	}
	p, _ := provider.Lookup(order.Provider)
	f := form{answers: starter.Answers{Provider: p.Name, Account: order.Account, Listen: s.Listen}}
	wrong.check("account", starter.CheckName(order.Account))
	if p.Grant != provider.PersonalToken {
		f.client(&wrong, p, order)
	}
	if p.Grant == provider.ClientCredentials && wrong.line("base_url", order.BaseURL) && wrong.check("base_url", config.CheckURL(order.BaseURL)) {
		f.answers.BaseURL = order.BaseURL
	}
	f.sinks(&wrong, order.Sinks)
	if order.Overlay {
		f.answers.Overlay = Overlay
	}
	if p.Endpoints.Socket != "" && len(order.Sinks) == 0 && !order.Overlay {
		wrong.check("sinks", errors.New("choose at least one: relay needs a place to send treats to"))
	}
	if len(wrong) == 0 {
		f.whole(&wrong, s.Path)
	}
	return f, wrong
}

func (f *form) client(wrong *faults, p provider.Provider, order api.SetupRequest) {
	if wrong.line("client_id", order.ClientID) {
		f.answers.ClientID = order.ClientID
	}
	if order.ClientSecret == "" && secretOptional(p) {
		f.answers.NoSecret = true
		return
	}
	if wrong.line("client_secret", order.ClientSecret) {
		f.answers.ClientSecretFile = f.add(order.Account+"-client-secret.txt", secret.New(order.ClientSecret))
	}
}

func (f *form) sinks(wrong *faults, all []api.SetupDestination) {
	for _, sink := range all {
		field, url := "sinks."+sink.Type+".url", strings.TrimSpace(sink.URL)
		err := starter.CheckSinkType(sink.Type)
		if err == nil && slices.Contains(f.answers.Sinks, sink.Type) {
			err = fmt.Errorf("%s is there twice", sink.Type)
		}
		if !wrong.check("sinks", err) {
			continue
		}
		f.answers.Sinks = append(f.answers.Sinks, sink.Type)
		if !wantsURL(sink.Type) || !wrong.line(field, url) {
			continue
		}
		file := f.add(starter.SinkName(sink.Type)+"-url.txt", secret.New(url))
		switch sink.Type {
		case "discord":
			f.answers.DiscordURLFile = file
		case "slack":
			f.answers.SlackURLFile = file
		case "webhook":
			f.answers.Webhook = starter.Webhook{
				URLFile: file, SecretFile: f.add(starter.SinkName(sink.Type)+"-secret.txt", webhook.NewSigningSecret()),
			}
		}
	}
}

func (f *form) add(name string, content secret.String) string {
	f.files = append(f.files, secretFile{name, content})
	return name
}

// content returns the content of a file.
func (f *form) content(name string) string {
	for _, file := range f.files {
		if file.name == name {
			return file.content.Reveal()
		}
	}
	return ""
}

// whole checks the configuration with the rules of relay.yaml. The files do not exist yet, so variables stand for them.
func (f *form) whole(wrong *faults, path string) {
	const webhookURL = "WEBHOOK_URL"
	a := f.answers
	values := map[string]string{
		a.SecretVariable(): f.content(a.ClientSecretFile), starter.DiscordVariable: f.content(a.DiscordURLFile), starter.SlackVariable: f.content(a.SlackURLFile),
		webhookURL: f.content(a.Webhook.URLFile), starter.WebhookSecretVariable: f.content(a.Webhook.SecretFile),
	}
	a.ClientSecretFile, a.DiscordURLFile, a.SlackURLFile, a.Webhook = "", "", "", starter.Webhook{URL: "${" + webhookURL + "}"}
	err := config.CheckText(path, []byte(a.Text(path)), func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	})
	if found, ok := errors.AsType[config.Faults](err); ok {
		for _, fault := range found {
			*wrong = append(*wrong, api.FieldError{Field: f.fieldOf(fault.Path), Detail: fault.Message})
		}
		return
	}
	wrong.check("", err)
}

// fieldOf returns the field of a request that a key of the configuration comes from; empty: none in particular.
func (f *form) fieldOf(path string) string {
	if key, ok := strings.CutPrefix(path, "accounts."+f.answers.Account+"."); ok && slices.Contains([]string{"client_id", "client_secret", "base_url"}, key) {
		return key
	}
	for _, typ := range f.answers.Sinks {
		if strings.HasPrefix(path, "sinks."+starter.SinkName(typ)+".url") {
			return "sinks." + typ + ".url"
		}
	}
	return ""
}
