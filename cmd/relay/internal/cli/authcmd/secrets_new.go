package authcmd

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/sinks/webhook"
)

// secretsNewOptions are the options of relay secrets new.
type secretsNewOptions struct {
	*state.State
	ed25519 bool
}

func newSecretsNewCmd(s *state.State) *cobra.Command {
	o := secretsNewOptions{State: s}
	cmd := &cobra.Command{
		Use: "new", Short: "Print a new signing secret", Args: state.NoArgs,
		Long: `Print a new signing secret for a webhook sink and its receivers. Put it into the
sink's secret or secret_file. With --ed25519, print two lines: a private key for
the sink's private_key, and the public key for the receivers.`,
		Example: `  relay secrets new > bot.secret
  relay secrets new --ed25519`,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	cmd.Flags().BoolVar(&o.ed25519, "ed25519", false, "print an Ed25519 key pair instead")
	return cmd
}

func (o *secretsNewOptions) run() error {
	if !o.ed25519 {
		return o.Print(webhook.NewSigningSecret().Reveal())
	}
	private, public := webhook.NewKeyPair()
	return o.Print(private.Reveal(), public)
}
