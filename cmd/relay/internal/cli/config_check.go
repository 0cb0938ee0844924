package cli

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

func newConfigCheckCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Report every error in the configuration, with line and column", Args: state.NoArgs,
		Long: `Report every error in the configuration, with its line and column, and the
nearest valid key for an unknown one. It also reads the files that the
configuration names, but contacts no server: "relay doctor" does that. The exit
code is 78 if there is an error.`,
		Example: "  relay config check\n  relay config check --config /etc/relay/relay.yaml",
		RunE:    func(*cobra.Command, []string) error { return runConfigCheck(s) },
	}
}

func runConfigCheck(s *state.State) error {
	cfg, err := s.LoadConfigBy(config.Check, s.Logger())
	if err == nil {
		err = requireAccounts(cfg)
	}
	if err == nil && needsSinks(cfg) {
		_, err = selectSinks(cfg, nil)
	}
	if err != nil {
		return err
	}
	return s.Say("%s: ok, %d accounts, %d sinks", cfg.Path, len(cfg.Accounts), len(cfg.Sinks))
}
