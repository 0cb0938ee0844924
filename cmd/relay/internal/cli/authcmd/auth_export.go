package authcmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// exportOptions are the options of relay auth export.
type exportOptions struct {
	*state.State
	account        []string // as given; empty for the only one
	passphraseFile string
	recipient      string
}

func newExportCmd(s *state.State) *cobra.Command {
	o := exportOptions{State: s}
	cmd := &cobra.Command{
		Use: "export [ACCOUNT]", Short: "Write an account's login, encrypted, to move it to another machine", Args: state.OptionalAccount,
		Long: `Write an account's login to standard output, encrypted with age: with a
passphrase, or for the identity of the other machine, which "relay auth
identity" prints there. Only one machine can use a login: once it works on the
other one, run "relay auth logout ACCOUNT --force" here.`,
		Example: `  relay auth export mystream > mystream.age
  relay auth export mystream --recipient age1... | ssh other relay auth import mystream`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account = args
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file with the passphrase to encrypt with; without it, relay asks on the terminal")
	flags.StringVar(&o.recipient, "recipient", "", "age recipient (age1...) to encrypt for, instead of a passphrase")
	return cmd
}

func (o *exportOptions) run(ctx context.Context) error {
	all, err := openAccounts(ctx, o.State)
	if err != nil {
		return err
	}
	_, c, err := all.choose(o.account)
	if err != nil {
		return err
	}
	key, err := o.key()
	if err != nil {
		return err
	}
	sealed, err := all.store.Export(c.Account, key)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(sealed)
	return err
}

// key returns what to encrypt with.
func (o *exportOptions) key() (key auth.ExportKey, err error) {
	switch {
	case o.recipient != "" && o.passphraseFile != "":
		return key, exit.Usagef("--recipient and --passphrase-file: give only one of them")
	case o.recipient != "":
		key.Recipient = o.recipient
	case o.passphraseFile != "":
		key.Passphrase, err = readPassphrase(o.passphraseFile)
	default:
		key.Passphrase, err = askPassphrase(o.State)
	}
	return key, err
}
