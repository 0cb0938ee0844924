package main

import (
	"github.com/spf13/cobra"
)

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
	})
	return cmd
}
