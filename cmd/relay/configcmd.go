package main

import (
	"io"

	"github.com/spf13/cobra"

	relaydocs "github.com/treatrelay/relay/docs"
)

// schemaURL is where editors find the schema of a configuration file.
const schemaURL = "https://raw.githubusercontent.com/treatrelay/relay/main/docs/relay.schema.json"

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check the configuration", Args: unknownCommand, RunE: needCommand}
	cmd.AddCommand(&cobra.Command{
		Use: "check", Short: "Say everything that is wrong with the configuration, with its place", Args: noArgs,
		Example: "  relay config check\n  relay config check --config /etc/relay/relay.yaml",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.loadConfig(p.logger())
			if err != nil {
				return err
			}
			return p.say("%s: ok, %d accounts, %d sinks", cfg.Path, len(cfg.Accounts), len(cfg.Sinks))
		},
	}, &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of relay.yaml, for editors", Args: noArgs,
		Long: `Print the JSON Schema (draft 2020-12) of relay.yaml on standard output. Editors with a YAML language server complete and
check a file that begins with
  # yaml-language-server: $schema=` + schemaURL + `
as one that "relay init" wrote does. Instead of the address it may be the path of what this command prints.`,
		Example: "  relay config schema > relay.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(p.out, relaydocs.ConfigSchema)
			return err
		},
	})
	return cmd
}
