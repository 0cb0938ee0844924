package authcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

func newSecretsPublicCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "public SINK", Short: "Print the public key that verifies a webhook sink's signatures", Args: state.OneSink,
		Long: `Print the public key of a webhook sink that signs with a private_key or a
private_key_file. Give it to the receivers: they verify each request with it. If
the file has several private keys, it prints the public key of each, one per
line.`,
		Example: "  relay secrets public bot",
		RunE:    func(_ *cobra.Command, args []string) error { return runSecretsPublic(s, args[0]) },
	}
}

func runSecretsPublic(s *state.State, sink string) error {
	_, c, err := findWebhook(s, sink)
	if err != nil {
		return err
	}
	keys, err := c.PublicKeys()
	if err != nil {
		return exit.With(exit.Config, fmt.Errorf("sinks.%s.%w", sink, err))
	}
	if len(keys) == 0 {
		return exit.Usagef("sink %s has no private_key, so there is no public key: create a key pair with relay secrets new --ed25519", sink)
	}
	return s.Print(keys...)
}
