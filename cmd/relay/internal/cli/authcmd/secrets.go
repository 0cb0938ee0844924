package authcmd

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/sinks/webhook"
)

// NewSecretsCmd returns relay secrets, with its subcommands.
func NewSecretsCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secrets", Short: "Create and rotate the keys that sign webhooks",
		Long: `Create and rotate the keys that sign the requests of webhook sinks. Receivers
verify each request with the same secret, or with the public key of an Ed25519
key pair.`,
		Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
	}
	cmd.AddCommand(newSecretsNewCmd(s), newSecretsRotateCmd(s), newSecretsPublicCmd(s))
	return cmd
}

// findWebhook returns the configuration of the webhook sink of that name, and the path of the file that it is in.
func findWebhook(s *state.State, name string) (path string, c *webhook.Config, err error) {
	cfg, err := s.LoadConfig(s.Logger())
	if err != nil {
		return "", nil, err
	}
	var webhooks []string
	for _, sink := range cfg.Sinks {
		c, ok := sink.Config.(*webhook.Config)
		switch {
		case sink.Name == name && ok:
			return cfg.Path, c, nil
		case sink.Name == name:
			return "", nil, exit.Usagef("sink %s in %s is of type %s: only webhook sinks sign", name, cfg.Path, sink.Type)
		case ok:
			webhooks = append(webhooks, sink.Name)
		}
	}
	return "", nil, exit.Usagef("%s has no webhook sink %q; %s", cfg.Path, name, text.Suggest(name, webhooks))
}
