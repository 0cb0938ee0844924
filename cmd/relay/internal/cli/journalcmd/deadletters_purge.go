package journalcmd

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newDeadLettersPurgeCmd(s *state.State) *cobra.Command {
	o := &settleOptions{State: s, report: "Deleted ", settle: (*api.Client).Purge}
	return o.complete(&cobra.Command{
		Use: "purge", Short: "Delete dead letters",
		Long: `Delete dead letters whose events the sinks no longer need. The events stay in
the journal, and "relay replay" can still send them. --dry-run lists the dead
letters first.`,
		Example: "  relay deadletters purge --id 1042\n  relay deadletters purge --sink bot --until 2026-07-01",
	})
}
