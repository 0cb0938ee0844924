package authcmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/webhook"
)

// keptSecrets is how many signing secrets a rotation keeps without a word. Each makes every request longer.
const keptSecrets = 3

// Secrets is relay secrets: the keys that sign webhooks.
func Secrets(p *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secrets", Short: "Make and change the keys that sign webhooks",
		Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
	}
	cmd.AddCommand(newSecretCommand(p), rotateSecretCommand(p), publicKeyCommand(p))
	return cmd
}

func newSecretCommand(p *state.State) *cobra.Command {
	var pair bool
	cmd := &cobra.Command{
		Use: "new", Short: "Print a fresh signing secret", Args: state.NoArgs,
		Long: `Print a fresh signing secret for a webhook sink and its receivers. With --ed25519 print two lines: a private key for
private_key of the sink, and the public key for the receivers.`,
		Example: `  relay secrets new > bot.secret
  relay secrets new --ed25519`,
		RunE: func(*cobra.Command, []string) error {
			if !pair {
				return p.Print(webhook.NewSigningSecret().Reveal())
			}
			private, public := webhook.NewKeyPair()
			return p.Print(private.Reveal(), public)
		},
	}
	cmd.Flags().BoolVar(&pair, "ed25519", false, "an Ed25519 key pair instead")
	return cmd
}

func rotateSecretCommand(p *state.State) *cobra.Command {
	var dropOld bool
	cmd := &cobra.Command{
		Use: "rotate SINK", Short: "Give a webhook sink a new signing secret beside the old ones", Args: state.OneSink,
		Long: `Put a new signing secret before the others in the secret_file of a webhook sink, and print it. From then on every
request carries a signature of each, so that receivers can change over one by one; a relay that runs notices by itself. When
every receiver has the new secret, --drop-old takes the others out. Run it as the user that relay runs as: the file is for
its owner only.`,
		Example: `  relay secrets rotate bot
  relay secrets rotate bot --drop-old`,
		RunE: func(_ *cobra.Command, args []string) error { return runRotate(p, args[0], dropOld) },
	}
	cmd.Flags().BoolVar(&dropOld, "drop-old", false, "keep only the newest secret")
	state.WithoutVariable(cmd.Flags(), "drop-old")
	return cmd
}

func publicKeyCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "public SINK", Short: "Print the public key that a webhook sink's receivers verify with", Args: state.OneSink,
		Example: "  relay secrets public bot",
		RunE: func(_ *cobra.Command, args []string) error {
			_, c, err := webhookSink(p, args[0])
			if err != nil {
				return err
			}
			keys, err := c.PublicKeys()
			if err != nil {
				return exit.With(exit.Config, fmt.Errorf("sinks.%s.%w", args[0], err))
			}
			if len(keys) == 0 {
				return exit.Usagef("sink %s has no private_key, so there is no public key: make a pair with relay secrets new --ed25519", args[0])
			}
			return p.Print(keys...)
		},
	}
}

// webhookSink returns the configuration of the webhook sink of that name, and of which file it is a part.
func webhookSink(p *state.State, name string) (path string, c *webhook.Config, err error) {
	cfg, err := p.LoadConfig(p.Logger())
	if err != nil {
		return "", nil, err
	}
	var webhooks []string
	for _, s := range cfg.Sinks {
		c, ok := s.Config.(*webhook.Config)
		switch {
		case s.Name == name && ok:
			return cfg.Path, c, nil
		case s.Name == name:
			return "", nil, exit.Usagef("sink %s in %s is of type %s: only webhook sinks sign", name, cfg.Path, s.Type)
		case ok:
			webhooks = append(webhooks, s.Name)
		}
	}
	return "", nil, exit.Usagef("%s has no webhook sink %q; %s", cfg.Path, name, text.Suggest(name, webhooks))
}

func runRotate(p *state.State, name string, dropOld bool) error {
	path, c, err := webhookSink(p, name)
	if err != nil {
		return err
	}
	if c.SecretFile == "" {
		return rotateByHand(p, name, path, c, dropOld)
	}
	old, err := webhook.ReadSigningSecrets(c.SecretFile)
	if err != nil {
		return exit.With(exit.Config, fmt.Errorf("sinks.%s.%w", name, err))
	}
	if dropOld {
		if err := writeSecrets(c.SecretFile, old[:1]); err != nil {
			return err
		}
		return p.Say("%s holds only the newest secret now; %d dropped. A relay that runs signs with it alone within seconds.", c.SecretFile, len(old)-1)
	}
	fresh := webhook.NewSigningSecret()
	all := append([]secret.String{fresh}, old...)
	if err := writeSecrets(c.SecretFile, all); err != nil {
		return err
	}
	if err := p.Print(fresh.Reveal()); err != nil {
		return err
	}
	err = p.Say(`%s holds %d secrets now. A relay that runs signs with each of them within seconds, no restart needed.
1. With its next request it logs that the signing keys changed. One that does not run has them from its next start.
2. Give every receiver the new secret, printed above.
3. When the last one has it: relay secrets rotate %s%s --drop-old
Events that wait for a retry need no time of grace: each request is signed when it is sent.`, c.SecretFile, len(all), name, p.Flags())
	if len(all) > keptSecrets {
		err = errors.Join(err, p.Say("warning: %d secrets are many, and each is as good as the others: drop the old ones soon", len(all)))
	}
	return err
}

// rotateByHand is for secrets that stand in the configuration, which relay does not edit.
func rotateByHand(p *state.State, name, path string, c *webhook.Config, dropOld bool) error {
	key := "secret"
	switch {
	case len(c.Secrets) > 0:
		key = "secrets"
	case c.Secret.Empty():
		return exit.Usagef("sink %s signs with a private key only: make a new pair with relay secrets new --ed25519, keep the old one "+
			"beside it in a private_key_file, one a line, until every receiver has the new public key", name)
	}
	if dropOld {
		return p.Say("relay does not edit %s: leave only the first secret in sinks.%s.%s, and restart relay.", path, name, key)
	}
	if err := p.Print(webhook.NewSigningSecret().Reveal()); err != nil {
		return err
	}
	change := "replace the key secret by secrets: [\"NEW\", \"OLD\"]"
	if key == "secrets" {
		change = "put the new secret first in the list secrets"
	}
	return p.Say(`relay does not edit %s. In sinks.%s %s, with the new secret, printed above, before what is there now;
each may also be a variable, as in "${NEW_SECRET}". Then:
1. Restart relay, which signs with both.
2. Give every receiver the new secret.
3. When the last one has it, take the old one out and restart relay.
With a secret_file instead, relay secrets rotate does this by itself, without a restart.`, path, name, change)
}

// writeSecrets replaces a secret_file. Where the path is a link, it is what the link leads to that is replaced.
func writeSecrets(path string, secrets []secret.String) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find secret_file %s: %w", path, err)
	}
	var text strings.Builder
	for _, s := range secrets {
		text.WriteString(s.Reveal() + "\n")
	}
	if err := datadir.WritePrivate(target, []byte(text.String())); err != nil {
		return fmt.Errorf("change the secrets: %w; if something else provides that file, change it there", err)
	}
	return nil
}
