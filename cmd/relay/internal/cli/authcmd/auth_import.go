package authcmd

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/internal/secret"
)

// maxImport is the most that relay auth import reads, in bytes.
const maxImport = 1 << 20

// importOptions are the options of relay auth import.
type importOptions struct {
	*state.State
	account        []string // as given; empty for the only one
	passphraseFile string
	force          bool
}

func newImportCmd(s *state.State) *cobra.Command {
	o := importOptions{State: s}
	cmd := &cobra.Command{
		Use: "import [ACCOUNT]", Short: "Read a personal token, or a login from another machine, from standard input", Args: state.OptionalAccount,
		Long: `Read the login of an account from standard input: a personal token, for a
provider that issues them (treesnap), or the output of "relay auth export" on
another machine. relay recognizes which of them it is. An export that is sealed
with a passphrase needs --passphrase-file, since relay cannot ask for the
passphrase while it reads standard input.`,
		Example: `  relay auth import trees < token.txt
  relay auth import mystream < mystream.age`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account = args
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file with the passphrase of the export; without it, the export must be sealed for this machine's identity")
	flags.BoolVar(&o.force, "force", false, "replace a login that works")
	state.WithoutVariable(flags, "force")
	return cmd
}

func (o *importOptions) run(ctx context.Context) error {
	all, err := openAccounts(ctx, o.State)
	if err != nil {
		return err
	}
	account, c, err := all.choose(o.account)
	if err != nil {
		return err
	}
	input, err := o.read(c)
	if err != nil {
		return err
	}
	switch {
	case auth.Sealed(input):
		err = o.importExport(ctx, all.store, c, input)
	case c.Provider.Grant != auth.PersonalToken:
		err = exit.With(exit.Usage, &advice.Error{
			Err: fmt.Errorf("import %s: %s has no personal tokens, and the input is not an export from another machine", c.Account, c.Provider.Title),
			Fix: advice.Fix{Before: "run ", Command: advice.Login(c.Account)},
		})
	default:
		err = account.ImportToken(ctx, secret.New(string(input)))
	}
	if err != nil {
		return err
	}
	status, err := account.Status()
	if err != nil {
		return err
	}
	return o.report(status, c)
}

// read reads the token or the export from standard input, without surrounding space.
func (o *importOptions) read(c config.Account) ([]byte, error) {
	if terminal.Is(o.In) && c.Provider.Grant == auth.PersonalToken {
		if err := o.Say("Create a token at %s. Paste it here, then press Enter and Ctrl-D.", c.Provider.TokenPage); err != nil {
			return nil, err
		}
	}
	content, err := io.ReadAll(io.LimitReader(o.In, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	plain, err := secret.Text(content)
	if err != nil {
		return nil, exit.Usagef("import %s: standard input %w", c.Account, err)
	}
	input := bytes.TrimSpace([]byte(plain.Reveal()))
	switch {
	case len(content) > maxImport:
		return nil, exit.Usagef("import %s: more than %d bytes on standard input", c.Account, maxImport)
	case len(input) == 0:
		return nil, exit.Usagef("import %s: nothing on standard input; pipe the token or the export into it", c.Account)
	}
	return input, nil
}

func (o *importOptions) importExport(ctx context.Context, store *auth.FileStore, c config.Account, sealed []byte) error {
	opts := auth.ImportOptions{Provider: c.Provider.Name, Force: o.force}
	var err error
	if o.passphraseFile != "" {
		opts.Passphrase, err = readPassphrase(o.passphraseFile)
	} else {
		opts.Identity, err = auth.LoadIdentity(ctx, o.Identity())
	}
	if err != nil {
		return err
	}
	return store.Import(ctx, c.Account, sealed, opts)
}

// report prints the state of the imported login, and how to check one that the provider has not confirmed.
func (o *importOptions) report(status auth.Status, c config.Account) error {
	if err := o.Say("Imported the login of %s at %s. %s", c.Account, c.Provider.Title, lifetime(status, c.Provider.Grant)); err != nil {
		return err
	}
	check := o.Command("auth", "refresh", c.Account)
	switch {
	case c.Provider.Grant != auth.PersonalToken:
		return o.Say("The login has not been checked yet. To check it, run: %s", check)
	case status.State == auth.Active && status.Reason != "":
		return o.Say("The token was %s. To check it, run: %s", status.Reason, check)
	}
	return nil
}
