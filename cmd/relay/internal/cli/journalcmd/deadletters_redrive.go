package journalcmd

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newDeadLettersRedriveCmd(s *state.State) *cobra.Command {
	o := &settleOptions{State: s, report: "Redrove ", settle: (*api.Client).Redrive}
	return o.complete(&cobra.Command{
		Use: "redrive", Short: "Send the events of dead letters to their sinks again",
		Long: `Send the events of dead letters to their sinks again, with the same IDs, and
delete the dead letters. Do this after you have fixed why the sink refused them.
The events go to the end of the journal, so a sink receives them after the
events that already wait for it; if relay does not run now, it sends them when
it starts. An event that is refused again becomes a dead letter again.`,
		Example: "  relay deadletters redrive --sink bot --reason 404\n  relay deadletters redrive --all --dry-run",
	})
}
