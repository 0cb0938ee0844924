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
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/webhook"
)

// manySecrets is how many signing secrets a sink may have before a rotation warns: every request carries a signature for each.
const manySecrets = 3

// secretsRotateOptions are the options of relay secrets rotate.
type secretsRotateOptions struct {
	*state.State
	sink    string
	dropOld bool
}

func newSecretsRotateCmd(s *state.State) *cobra.Command {
	o := secretsRotateOptions{State: s}
	cmd := &cobra.Command{
		Use: "rotate SINK", Short: "Add a new signing secret to a webhook sink and keep the old ones", Args: state.OneSink,
		Long: `Add a new signing secret at the top of a webhook sink's secret_file, and print
it. From then on, every request carries a signature for each secret in the file,
so that receivers can change over one by one; a running relay notices the change
without a restart. When every receiver has the new secret, --drop-old removes
the others.

Run it as the user that relay runs as: only the file's owner can read it.`,
		Example: `  relay secrets rotate bot
  relay secrets rotate bot --drop-old`,
		RunE: func(_ *cobra.Command, args []string) error {
			o.sink = args[0]
			return o.run()
		},
	}
	cmd.Flags().BoolVar(&o.dropOld, "drop-old", false, "keep only the newest secret")
	state.WithoutVariable(cmd.Flags(), "drop-old")
	return cmd
}

func (o *secretsRotateOptions) run() error {
	path, c, err := findWebhook(o.State, o.sink)
	if err != nil {
		return err
	}
	if c.SecretFile == "" {
		return o.explain(path, c)
	}
	old, err := webhook.ReadSigningSecrets(c.SecretFile)
	if err != nil {
		return exit.With(exit.Config, fmt.Errorf("sinks.%s.%w", o.sink, err))
	}
	if o.dropOld {
		if err := writeSecrets(c.SecretFile, old[:1]); err != nil {
			return err
		}
		return o.Say("%s has only the newest secret now; %d dropped. A running relay signs with it alone within seconds.", c.SecretFile, len(old)-1)
	}
	return o.rotate(c.SecretFile, old)
}

// rotate adds a new secret to a file that has old ones.
func (o *secretsRotateOptions) rotate(file string, old []secret.String) error {
	added := webhook.NewSigningSecret()
	all := append([]secret.String{added}, old...)
	if err := writeSecrets(file, all); err != nil {
		return err
	}
	if err := o.Print(added.Reveal()); err != nil {
		return err
	}
	err := o.Say(`%s has %d secrets now. A running relay signs with each of them within seconds, without a restart; it logs the change
with its next request.
1. Give every receiver the new secret, printed above.
2. When the last one has it, run: %s
Events that wait for a retry are signed when they are sent, so there is nothing to wait for.`,
		file, len(all), o.Command("secrets", "rotate", o.sink, "--drop-old"))
	if len(all) > manySecrets {
		err = errors.Join(err, o.Say("warning: there are %d secrets, and anyone who has one of them can sign: drop the old ones soon", len(all)))
	}
	return err
}

// explain says how to rotate secrets that are in the configuration file, which relay does not edit.
func (o *secretsRotateOptions) explain(path string, c *webhook.Config) error {
	key := "secret"
	switch {
	case len(c.Secrets) > 0:
		key = "secrets"
	case c.Secret.Empty():
		return exit.Usagef("sink %s signs with a private key only: create a new pair with relay secrets new --ed25519, and keep the old key "+
			"after the new one in a private_key_file, one per line, until every receiver has the new public key", o.sink)
	}
	if o.dropOld {
		return o.Say("relay does not edit %s: leave only the first secret in sinks.%s.%s, and restart relay.", path, o.sink, key)
	}
	if err := o.Print(webhook.NewSigningSecret().Reveal()); err != nil {
		return err
	}
	change := "replace the key secret by secrets: [\"NEW\", \"OLD\"]"
	if key == "secrets" {
		change = "put the new secret first in the list secrets"
	}
	return o.Say(`relay does not edit %s. In sinks.%s %s.
NEW is the secret printed above. Each may also be a variable, as in "${NEW_SECRET}". Then:
1. Restart relay, which signs with both.
2. Give every receiver the new secret.
3. When the last one has it, remove the old secret and restart relay.
With a secret_file instead, relay secrets rotate edits the file for you, without a restart.`, path, o.sink, change)
}

// writeSecrets replaces the content of a secret_file. If the path is a symbolic link, it replaces the file that the link points to.
func writeSecrets(path string, secrets []secret.String) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find secret_file %s: %w", path, err)
	}
	var content strings.Builder
	for _, s := range secrets {
		content.WriteString(s.Reveal() + "\n")
	}
	if err := datadir.WritePrivate(target, []byte(content.String())); err != nil {
		return fmt.Errorf("write secret_file: %w; if another program provides that file, change it there", err)
	}
	return nil
}
