package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/webhook"
)

// A question is one thing that relay init wants to know.
type question struct {
	flag     string // that answers it
	about    string
	applies  func() bool               // after the answers before it
	given    func() string             // the flag's value
	usual    func() string             // what an empty answer stands for
	optional bool                      // whether an empty answer is one
	unasked  bool                      // whether only the flag answers it
	take     func(answer string) error // checks and keeps it
}

// questions are all of them, in the order in which they are asked.
func (f *initFlags) questions() []question {
	chosen := func() provider.Provider {
		p, _ := provider.Lookup(f.provider)
		return p
	}
	sends := func(typ string) func() bool {
		return func() bool { return slices.Contains(f.sinks, typ) }
	}
	text := func(flag, about string, into *string, usual string, applies func() bool, check func(string) error) question {
		return question{
			flag: flag, about: about, applies: applies, given: func() string { return *into }, usual: func() string { return usual },
			take: func(answer string) error {
				if strings.ContainsFunc(answer, unicode.IsControl) {
					return errors.New("want one line of text without control characters")
				}
				*into = answer
				return check(answer)
			},
		}
	}
	always := func() bool { return true }
	asksSecret := func() bool { return chosen().Grant != provider.PersonalToken }
	account := text("account", "a name for the account", &f.account, "", always, checkNewName)
	account.usual = func() string {
		if p := chosen(); p.Name != "" && p.Endpoints.Socket == "" {
			return p.Name
		}
		return "mystream"
	}
	destinations := question{
		flag: "sink", about: "where treats go: " + strings.Join(sinks.Types(), ", ") + "; several with commas between",
		applies: func() bool { return chosen().Endpoints.Socket != "" || len(f.sinks) > 0 },
		given:   func() string { return strings.Join(f.sinks, ",") }, usual: func() string { return "" }, take: f.takeSinks,
	}
	secretFile := text("client-secret-file", "the file that holds the client secret", &f.clientSecretFile, "", asksSecret, notEmpty)
	webhookFile := text("webhook-url-file", "the file that holds the URL of the webhook", &f.webhookURLFile, "", sends("webhook"), notEmpty)
	discord := text("discord-url-file", "the file that holds the URL of the Discord webhook; none for the variable DISCORD_URL", &f.discordURLFile, "", sends("discord"), checkFile)
	slack := text("slack-url-file", "the file that holds the URL of the Slack webhook; none for the variable SLACK_URL", &f.slackURLFile, "", sends("slack"), checkFile)
	secretFile.optional, webhookFile.optional, discord.optional, slack.optional = true, true, true, true
	secretFile.unasked, webhookFile.unasked = true, true
	return []question{
		text("provider", "whose API it is: "+strings.Join(config.ProviderNames(), ", "), &f.provider, "treatstream", always, checkProvider),
		account,
		text("client-id", "the client id of your application there", &f.clientID, "", asksSecret, notEmpty),
		secretFile,
		text("base-url", "where the API is, such as https://api.example.com", &f.baseURL, "",
			func() bool { return chosen().Grant == provider.ClientCredentials || f.baseURL != "" }, config.CheckURL),
		destinations,
		webhookFile,
		text("webhook-url", "where the webhook goes, such as https://bot.example/treats", &f.webhookURL, "",
			func() bool { return sends("webhook")() && f.webhookURLFile == "" }, checkWebhookURL),
		discord, slack,
	}
}

func (f *initFlags) takeSinks(answer string) error {
	var types []string
	for _, typ := range strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if !slices.Contains(sinks.Types(), typ) {
			return fmt.Errorf("there is no type of sink %q; %s", typ, text.Suggest(typ, sinks.Types()))
		}
		if !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	f.sinks = types
	if types == nil {
		return errors.New("name one at least: " + strings.Join(sinks.Types(), ", "))
	}
	return nil
}

func checkProvider(name string) error {
	if _, ok := provider.Lookup(name); !ok {
		return fmt.Errorf("there is no provider %q; %s", name, text.Suggest(name, config.ProviderNames()))
	}
	return nil
}

func checkNewName(name string) error {
	if !config.ValidName.MatchString(name) {
		return errors.New(config.NameRule)
	}
	return nil
}

func notEmpty(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	return nil
}

// checkFile accepts a file that is there, and none.
func checkFile(path string) error {
	if path == "" {
		return nil
	}
	return config.CheckReadable(path)
}

// checkWebhookURL judges a URL as a webhook sink does. One with a variable in it is judged later.
func checkWebhookURL(text string) error {
	if strings.Contains(text, "${") {
		return nil
	}
	c := webhook.NewConfig()
	c.URL, c.Secret = secret.New(text), webhook.NewSigningSecret()
	err := c.Validate()
	if fault, ok := errors.AsType[*sinks.FieldError](err); ok {
		return fault.Err
	}
	return err
}

// askQuestions puts the questions that no flag has answered, each until the answer is good.
func askQuestions(ctx context.Context, p *state.State, f *initFlags, given func(flag string) bool) error {
	answers := readAnswers(p.In)
	defer answers.stop()
	for _, q := range f.questions() {
		if !q.applies() || q.unasked || given(q.flag) {
			continue
		}
		for good := false; !good; {
			usual := ""
			if q.usual() != "" {
				usual = " [" + q.usual() + "]"
			}
			if _, err := fmt.Fprintf(p.Err, "%s%s: ", q.about, usual); err != nil {
				return err
			}
			answer, err := answers.next(ctx)
			if err != nil {
				return errors.Join(err, p.Say("")) // the cursor stands behind the question
			}
			if answer == "" {
				answer = q.usual()
			}
			if err := q.take(answer); err != nil {
				if err := p.Say("%s: %v", q.flag, err); err != nil {
					return err
				}
				continue
			}
			good = true
		}
	}
	return nil
}

// answers are the lines that a person types.
type answers struct {
	from  io.Reader
	lines chan string // closed when no more come
	done  chan struct{}
}

func readAnswers(from io.Reader) *answers {
	a := &answers{from: from, lines: make(chan string), done: make(chan struct{})}
	go func() {
		defer close(a.lines)
		for lines := bufio.NewScanner(from); lines.Scan(); {
			select {
			case a.lines <- strings.TrimSpace(lines.Text()):
			case <-a.done:
				return
			}
		}
	}()
	return a
}

// next waits for a line.
func (a *answers) next(ctx context.Context) (string, error) {
	select {
	case line, ok := <-a.lines:
		if !ok {
			return "", exit.Usagef("the input ended before relay init had its answers: nothing is written")
		}
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("ask for the configuration: %w: nothing is written", context.Cause(ctx))
	}
}

// stop waits for the goroutine where its read can be ended, and leaves it to its last read where not.
func (a *answers) stop() {
	close(a.done)
	if d, ok := a.from.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Now()) == nil {
		for range a.lines { // Until it is closed.
		}
		_ = d.SetReadDeadline(time.Time{})
	}
}
