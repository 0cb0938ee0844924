package authcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/internal/secret"
)

// maxImport bounds what auth import reads.
const maxImport = 1 << 20

func importCommand(p *state.State) *cobra.Command {
	var passphraseFile string
	var force bool
	cmd := &cobra.Command{
		Use: "import [ACCOUNT]", Short: "Read a personal token, or a login of another machine, from standard input", Args: state.OptionalAccount,
		Long: `Read from standard input what gives an account its login: the personal token of a provider that has such tokens
(treesnap), or what "relay auth export" wrote on another machine. Which of the two it is shows by itself. An export that is sealed with
a passphrase needs --passphrase-file, since standard input is taken.`,
		Example: `  relay auth import trees < token.txt
  relay auth import mystream < mystream.age`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGrantImport(cmd.Context(), p, args, passphraseFile, force)
		},
	}
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase of the export; without it the export must be sealed for this machine's identity")
	cmd.Flags().BoolVar(&force, "force", false, "replace a login that works")
	state.WithoutVariable(cmd.Flags(), "force")
	return cmd
}

func runGrantImport(ctx context.Context, p *state.State, args []string, passphraseFile string, force bool) error {
	all, err := openAccounts(ctx, p)
	if err != nil {
		return err
	}
	account, c, err := all.named(args)
	if err != nil {
		return err
	}
	name := c.Account
	if terminal.Is(p.In) && c.Provider.Grant == auth.PersonalToken {
		if err := p.Say("Paste the token of %s, then press Enter and Ctrl-D. It is made at %s.", c.Provider.Title, c.Provider.TokenPage); err != nil {
			return err
		}
	}
	content, err := io.ReadAll(io.LimitReader(p.In, maxImport+1))
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	plain, err := secret.Text(content)
	if err != nil {
		return exit.Usagef("import %s: standard input %w", name, err)
	}
	text := bytes.TrimSpace([]byte(plain.Reveal()))
	switch {
	case len(content) > maxImport:
		return exit.Usagef("import %s: more than %d bytes on standard input", name, maxImport)
	case len(text) == 0:
		return exit.Usagef("import %s: nothing on standard input; pipe the token or the export into it", name)
	case auth.Sealed(text):
		if err := importExport(ctx, p, all.store, c, text, passphraseFile, force); err != nil {
			return err
		}
	case c.Provider.Grant != auth.PersonalToken:
		return exit.With(exit.Usage, &advice.Error{
			Err: fmt.Errorf("import %s: %s has no personal tokens, and this is no export of another machine", name, c.Provider.Title),
			Fix: advice.Fix{Before: "run ", Command: advice.Login(name)},
		})
	default:
		if err := account.ImportToken(ctx, secret.New(string(text))); err != nil {
			return err
		}
	}
	status, err := account.Status()
	if err != nil {
		return err
	}
	if err := p.Say("Imported the login of %s at %s. %s", name, c.Provider.Title, outlook(status, c.Provider.Grant)); err != nil {
		return err
	}
	switch doubt := status.Reason; {
	case c.Provider.Grant != auth.PersonalToken:
		return p.Say("It was not checked: relay auth refresh %s shows whether %s takes it.", name, c.Provider.Title)
	case status.State == auth.Active && doubt != "":
		return p.Say("It was %s. Until then nobody knows whether it is a token: relay auth refresh %s tries it.", doubt, name)
	}
	return nil
}

func importExport(ctx context.Context, p *state.State, store *auth.FileStore, c config.Account, text []byte, passphraseFile string, force bool) error {
	opts := auth.ImportOptions{Provider: c.Provider.Name, Force: force}
	var err error
	if passphraseFile != "" {
		opts.Passphrase, err = readPassphrase(passphraseFile)
	} else {
		opts.Identity, err = auth.LoadIdentity(ctx, p.Identity())
	}
	if err != nil {
		return err
	}
	return store.Import(ctx, c.Account, text, opts)
}

func exportCommand(p *state.State) *cobra.Command {
	var passphraseFile, recipient string
	cmd := &cobra.Command{
		Use: "export [ACCOUNT]", Short: "Write an account's login, sealed, to take it to another machine", Args: state.OptionalAccount,
		Long: `Write an account's login to standard output, sealed with age: for a passphrase, or for the identity of the other
machine, which "relay auth identity" shows there. A login belongs to one machine: once it works there, run
"relay auth logout ACCOUNT --force" here.`,
		Example: `  relay auth export mystream > mystream.age
  relay auth export mystream --recipient age1... | ssh other relay auth import mystream`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := openAccounts(cmd.Context(), p)
			if err != nil {
				return err
			}
			_, c, err := all.named(args)
			if err != nil {
				return err
			}
			key := auth.ExportKey{Recipient: recipient}
			switch {
			case recipient != "" && passphraseFile != "":
				return exit.Usagef("--recipient and --passphrase-file: give one of them")
			case passphraseFile != "":
				key.Passphrase, err = readPassphrase(passphraseFile)
			case recipient == "":
				key.Passphrase, err = askPassphrase(p)
			}
			if err != nil {
				return err
			}
			sealed, err := all.store.Export(c.Account, key)
			if err != nil {
				return err
			}
			_, err = p.Out.Write(sealed)
			return err
		},
	}
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase to seal with; without it relay asks on a terminal")
	cmd.Flags().StringVar(&recipient, "recipient", "", "age recipient (age1...) to seal for instead of a passphrase")
	return cmd
}

func identityCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "identity", Short: "Show what this machine's tokens are sealed for, to receive an export", Args: state.NoArgs,
		Example: "  relay auth identity",
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := auth.LoadIdentity(cmd.Context(), p.Identity())
			if err != nil {
				return err
			}
			_, err = io.WriteString(p.Out, id.Recipient()+"\n")
			return err
		},
	}
}

func readPassphrase(path string) (secret.String, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return secret.String{}, fmt.Errorf("read the passphrase: %w", err)
	}
	line, _, _ := strings.Cut(text.Reveal(), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return secret.String{}, exit.Usagef("read the passphrase: the first line of %s is empty", path)
	}
	return secret.New(line), nil
}

// askPassphrase asks on the terminal, twice, since a slip would make the export worthless.
func askPassphrase(p *state.State) (secret.String, error) {
	in, ok := p.In.(*os.File)
	if !ok || !terminal.Is(p.In) {
		return secret.String{}, exit.Usagef("no terminal to ask for a passphrase; give --passphrase-file or --recipient")
	}
	var entered [2]string
	for i, prompt := range []string{"Passphrase to seal the login with: ", "The same again: "} {
		if _, err := io.WriteString(p.Err, prompt); err != nil {
			return secret.String{}, err
		}
		text, err := term.ReadPassword(int(in.Fd()))
		if err != nil {
			return secret.String{}, fmt.Errorf("read the passphrase: %w", err)
		}
		if err := p.Say(""); err != nil {
			return secret.String{}, err
		}
		entered[i] = string(text)
	}
	switch {
	case entered[0] == "":
		return secret.String{}, errors.New("the passphrase is empty")
	case entered[0] != entered[1]:
		return secret.String{}, errors.New("the two passphrases differ")
	}
	return secret.New(entered[0]), nil
}
