package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/sinks"
)

// initFlags are what a first configuration is made of.
type initFlags struct {
	provider, account, clientID, clientSecretFile, baseURL   string
	sinks                                                    []string // types
	webhookURL, webhookURLFile, discordURLFile, slackURLFile string
	output                                                   string
	force                                                    bool
}

func initCommand(p *state.State) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use: "init", Short: "Write a first relay.yaml", Args: state.NoArgs,
		Long: `Write a commented relay.yaml, for you only, and say what to do next. On a terminal it asks for what the flags do not say. It asks for
no secret: the file refers to environment variables, or to files that hold one.`,
		Example: `  relay init
  relay init --client-id 4711 --sink stdout --sink nats
  relay init --client-id 4711 --sink webhook --webhook-url https://bot.example/treats --output /etc/relay/relay.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.ConfigPath != "" && !cmd.Flags().Changed("output") {
				f.output = p.ConfigPath
			}
			return runInit(cmd.Context(), p, &f, cmd.Flags().Changed, terminal.Is(p.In) && terminal.Is(p.Err))
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *initFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.provider, "provider", "", "whose API the account is at: "+strings.Join(config.ProviderNames(), ", ")+" (default treatstream)")
	flags.StringVar(&f.account, "account", "", "a name for the account (default mystream)")
	flags.StringVar(&f.clientID, "client-id", "", "the client id of your application at the provider")
	flags.StringVar(&f.clientSecretFile, "client-secret-file", "", "file that holds the client secret; without it a variable does")
	flags.StringVar(&f.baseURL, "base-url", "", "where the API is; only for client-credentials")
	flags.StringSliceVar(&f.sinks, "sink", nil, "a type of sink to send to: "+strings.Join(sinks.Types(), ", ")+"; may be repeated")
	flags.StringVar(&f.webhookURL, "webhook-url", "", "where a webhook sink sends to")
	flags.StringVar(&f.webhookURLFile, "webhook-url-file", "", "file that holds that URL instead")
	flags.StringVar(&f.discordURLFile, "discord-url-file", "", "file that holds the URL of the Discord webhook; without it a variable does")
	flags.StringVar(&f.slackURLFile, "slack-url-file", "", "file that holds the URL of the Slack webhook; without it a variable does")
	flags.StringVar(&f.output, "output", "relay.yaml", "file to write")
	flags.BoolVar(&f.force, "force", false, "replace a file that is there")
	state.WithoutVariable(flags, "force")
}

// runInit writes the configuration. given reports whether a flag was given. It asks for the rest if there is a terminal.
func runInit(ctx context.Context, p *state.State, f *initFlags, given func(flag string) bool, terminal bool) error {
	there := exit.Usagef("%s is there already: replace it with --force, or write another one with --output", f.output)
	if _, err := os.Lstat(f.output); err == nil && !f.force {
		return there
	}
	missing, err := f.settle(given)
	switch {
	case err != nil:
		return err
	case len(missing) > 0 && !terminal:
		return exit.Usagef("relay init has no terminal to ask on: give it %s", strings.Join(missing, " and "))
	case len(missing) > 0:
		if err := askQuestions(ctx, p, f, given); err != nil {
			return err
		}
	}
	text := f.text()
	variables, err := f.check(text)
	if err != nil {
		return err
	}
	if f.force {
		err = datadir.WritePrivate(f.output, []byte(text))
	} else if err = writeNew(f.output, []byte(text)); errors.Is(err, fs.ErrExist) {
		err = there
	}
	if err != nil {
		return err
	}
	return sayNext(p, f, variables)
}

// settle checks the answers that flags gave and takes the usual ones for the others. It returns the flags without which there
// is no configuration, each with what it is about.
func (f *initFlags) settle(given func(flag string) bool) (missing []string, err error) {
	var errs []error
	for _, q := range f.questions() {
		switch {
		case given(q.flag) && !q.applies():
			errs = append(errs, exit.Usagef("--%s: of no use with the other flags: leave it out", q.flag))
		case given(q.flag):
			if err := q.take(q.given()); err != nil {
				errs = append(errs, exit.Usagef("--%s: %w", q.flag, err))
			}
		case !q.applies() || q.optional:
		case q.usual() == "":
			missing = append(missing, fmt.Sprintf("--%s (%s)", q.flag, q.about))
		default:
			if err := q.take(q.usual()); err != nil {
				errs = append(errs, exit.Usagef("--%s: %w", q.flag, err))
			}
		}
	}
	return missing, errors.Join(errs...)
}

// check reads the text as relay will, once the variables in it are set, and returns their names.
func (f *initFlags) check(text string) (variables []string, err error) {
	err = config.CheckText(f.output, []byte(text), func(name string) (string, bool) {
		if !slices.Contains(variables, name) {
			variables = append(variables, name)
		}
		return standIn(name), true
	})
	var errs []error
	if wrong, ok := errors.AsType[config.Faults](err); ok {
		for _, e := range wrong {
			errs = append(errs, exit.Usagef("%s: %s", e.Path, e.Message))
		}
	}
	return variables, errors.Join(errs...)
}

// writeNew writes a file for the user only, where there is none.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // The path is the operator's own.
	if err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = fmt.Errorf("%s the file: %w", failed.Op, failed.Err)
		}
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// sayNext says what was written and the commands that follow.
func sayNext(p *state.State, f *initFlags, variables []string) error {
	found, err := config.Find("", p.Getenv)
	p.ConfigPath = f.output
	if err == nil && found != "" && sameFile(found, f.output) {
		p.ConfigPath = "" // it is found without a word
	}
	var next strings.Builder
	for _, name := range variables {
		if _, set := p.Getenv(name); !set {
			fmt.Fprintf(&next, "  %-36s # %s\n", "export "+name+"=...", f.variableIs(name))
		}
	}
	commands := []string{"relay config check"}
	switch provider, _ := auth.Lookup(f.provider); provider.Grant {
	case auth.PersonalToken:
		commands = append(commands, "relay auth import "+f.account)
	case auth.ClientCredentials:
		commands = append(commands, "relay auth token "+f.account)
	default:
		commands = append(commands, "relay auth login "+f.account)
	}
	for _, command := range append(commands, "relay") {
		next.WriteString("  " + command + p.Flags() + "\n")
	}
	return p.Say("Wrote %s. Next:\n\n%s", f.output, strings.TrimSuffix(next.String(), "\n"))
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// path is how a file that was named on the command line is named in the configuration.
func (f *initFlags) path(file string) string {
	if filepath.Dir(f.output) == "." {
		return file
	}
	if absolute, err := filepath.Abs(file); err == nil {
		return absolute
	}
	return file
}
