package cli

import (
	"encoding/json"
	"io"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	relaydocs "github.com/treatrelay/relay/docs"
)

func configCommand(p *state.State) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check and show the configuration", Args: state.NoUnknownCommand, RunE: state.RequireSubcommand}
	cmd.AddCommand(&cobra.Command{
		Use: "check", Short: "Say everything that is wrong with the configuration, with its place", Args: state.NoArgs,
		Example: "  relay config check\n  relay config check --config /etc/relay/relay.yaml",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.LoadConfigBy(config.Check, p.Logger())
			if err == nil {
				err = checkAccounts(cfg)
			}
			if err == nil && needsSinks(cfg) {
				_, err = selectSinks(cfg, nil)
			}
			if err != nil {
				return err
			}
			return p.Say("%s: ok, %d accounts, %d sinks", cfg.Path, len(cfg.Accounts), len(cfg.Sinks))
		},
	}, showConfigCommand(p), &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of relay.yaml, for editors", Args: state.NoArgs,
		Long: `Print the JSON Schema (draft 2020-12) of relay.yaml on standard output. Editors with a YAML language server complete and
check a file that begins with
  # yaml-language-server: $schema=` + relaydocs.ConfigSchemaURL + `
as one that "relay init" wrote does. Instead of the address it may be the path of what this command prints.`,
		Example: "  relay config schema > relay.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(p.Out, relaydocs.ConfigSchema)
			return err
		},
	})
	return cmd
}

func showConfigCommand(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show", Short: "Print the configuration as relay understands it, with defaults and without secrets", Args: state.NoArgs,
		Long: `Print the configuration as YAML, with the defaults filled in and the paths made absolute. A secret is shown as ***, and any other
text that has a variable in it as it is written. A key that has neither a value nor a default is left out. The file that was read is
named on standard error.`,
		Example: "  relay config show\n  relay config show --json | jq .sinks",
		RunE:    func(*cobra.Command, []string) error { return showConfig(p, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func showConfig(p *state.State, asJSON bool) error {
	path, err := p.FindConfig()
	if err != nil {
		return err
	}
	shown, warnings, err := config.Effective(path, p.Getenv)
	if err != nil {
		return err
	}
	log := p.Logger()
	for _, w := range warnings {
		log.Warn().Msg(w.Error())
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := p.Say("# %s", path); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(p.Out).Encode(config.Plain(shown))
	}
	text, err := yaml.MarshalWithOptions(shown, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return err
	}
	_, err = p.Out.Write(text)
	return err
}
