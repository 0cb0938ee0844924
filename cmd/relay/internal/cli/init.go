package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/sinks"
)

// initOptions are the options of relay init.
type initOptions struct {
	*state.State
	initAnswers
	output      string
	force       bool
	interactive bool                   // questions can be asked on a terminal
	given       func(flag string) bool // reports whether a flag was given
}

func newInitCmd(s *state.State) *cobra.Command {
	o := initOptions{State: s}
	cmd := &cobra.Command{
		Use: "init", Short: "Write a first relay.yaml", Args: state.NoArgs,
		Long: `Write a relay.yaml with comments, readable by you only, and print the commands
to run next. On a terminal it asks for what the flags do not say. It never asks
for a secret: the file refers to environment variables, or to files that contain
the secrets.`,
		Example: `  relay init
  relay init --client-id 4711 --sink stdout --sink nats
  relay init --client-id 4711 --sink webhook --webhook-url https://bot.example/treats --output /etc/relay/relay.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.given, o.interactive = cmd.Flags().Changed, terminal.Is(s.In) && terminal.Is(s.Err)
			if s.ConfigPath != "" && !o.given("output") {
				o.output = s.ConfigPath
			}
			return o.run(cmd.Context())
		},
	}
	o.register(cmd.Flags())
	return cmd
}

func (o *initOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.Provider, "provider", "", "provider of the account: "+strings.Join(config.ProviderNames(), ", ")+" (default treatstream)")
	flags.StringVar(&o.Account, "account", "", "name for the account (default mystream)")
	flags.StringVar(&o.ClientID, "client-id", "", "client ID of your application at the provider")
	flags.StringVar(&o.ClientSecretFile, "client-secret-file", "", "file with the client secret (default an environment variable)")
	flags.StringVar(&o.BaseURL, "base-url", "", "URL of the API; only for client-credentials")
	flags.StringSliceVar(&o.Sinks, "sink", nil, "type of a sink: "+strings.Join(sinks.Types(), ", ")+"; can be repeated")
	flags.StringVar(&o.Webhook.URL, "webhook-url", "", "URL that a webhook sink sends to")
	flags.StringVar(&o.Webhook.URLFile, "webhook-url-file", "", "file with that URL instead")
	flags.StringVar(&o.DiscordURLFile, "discord-url-file", "", "file with the URL of the Discord webhook (default an environment variable)")
	flags.StringVar(&o.SlackURLFile, "slack-url-file", "", "file with the URL of the Slack webhook (default an environment variable)")
	flags.StringVar(&o.output, "output", "relay.yaml", "file to write")
	flags.BoolVar(&o.force, "force", false, "replace an existing file")
	state.WithoutVariable(flags, "force")
}

func (o *initOptions) run(ctx context.Context) error {
	exists := exit.Usagef("%s exists already: replace it with --force, or write another file with --output", o.output)
	if _, err := os.Lstat(o.output); err == nil && !o.force {
		return exists
	}
	missing, err := o.applyFlags()
	switch {
	case err != nil:
		return err
	case len(missing) > 0 && !o.interactive:
		return exit.Usagef("relay init has no terminal to ask on: give it %s", strings.Join(missing, " and "))
	case len(missing) > 0:
		if err := o.ask(ctx); err != nil {
			return err
		}
	}
	content := o.Text(o.output)
	variables, err := o.check(content)
	if err != nil {
		return err
	}
	if o.force {
		err = datadir.WritePrivate(o.output, []byte(content))
	} else if err = starter.WriteNew(o.output, []byte(content)); errors.Is(err, fs.ErrExist) {
		err = exists
	}
	if err != nil {
		return err
	}
	return o.printNextSteps(variables)
}

// applyFlags validates the answers given by flags, and uses the default answer of every other question that has one. missing are the flags
// that are required in addition, each with a description.
func (o *initOptions) applyFlags() (missing []string, err error) {
	var errs []error
	for _, q := range o.questions() {
		switch {
		case o.given(q.flag) && !q.applies():
			errs = append(errs, exit.Usagef("--%s has no effect with the other flags: omit it", q.flag))
		case o.given(q.flag):
			if err := q.set(q.value()); err != nil {
				errs = append(errs, exit.Usagef("--%s: %w", q.flag, err))
			}
		case !q.applies() || q.optional:
		case q.defaultAnswer() == "":
			missing = append(missing, fmt.Sprintf("--%s (%s)", q.flag, q.prompt))
		default:
			if err := q.set(q.defaultAnswer()); err != nil {
				errs = append(errs, exit.Usagef("--%s: %w", q.flag, err))
			}
		}
	}
	return missing, errors.Join(errs...)
}

// check validates a configuration as if its environment variables were set, and returns their names.
func (o *initOptions) check(content string) (variables []string, err error) {
	err = config.CheckText(o.output, []byte(content), func(name string) (string, bool) {
		if !slices.Contains(variables, name) {
			variables = append(variables, name)
		}
		return starter.ExampleValue(name), true
	})
	var errs []error
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, e := range faults {
			errs = append(errs, exit.Usagef("%s: %s", e.Path, e.Message))
		}
	}
	return variables, errors.Join(errs...)
}

// printNextSteps prints the commands to run next, with --config unless relay finds the file without it.
func (o *initOptions) printNextSteps(variables []string) error {
	found, err := config.Find("", o.Getenv)
	o.ConfigPath = o.output
	if err == nil && found != "" && isSameFile(found, o.output) {
		o.ConfigPath = ""
	}
	var steps strings.Builder
	for _, name := range variables {
		if _, set := o.Getenv(name); !set {
			fmt.Fprintf(&steps, "  %-36s # %s\n", "export "+name+"=...", o.DescribeVariable(name))
		}
	}
	login := "login"
	switch p, _ := provider.Lookup(o.Provider); p.Grant {
	case provider.PersonalToken:
		login = "import"
	case provider.ClientCredentials:
		login = "token"
	}
	for _, words := range [][]string{{"config", "check"}, {"auth", login, o.Account}, nil} {
		steps.WriteString("  " + o.Command(words...) + "\n")
	}
	return o.Say("Wrote %s. Next:\n\n%s", o.output, strings.TrimSuffix(steps.String(), "\n"))
}

func isSameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}
