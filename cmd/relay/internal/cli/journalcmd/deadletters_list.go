package journalcmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// deadLettersListOptions are the options of relay deadletters list.
type deadLettersListOptions struct {
	*state.State
	letterFlags
}

func newDeadLettersListCmd(s *state.State) *cobra.Command {
	o := deadLettersListOptions{State: s}
	cmd := &cobra.Command{
		Use: "list", Short: "List the dead letters, oldest first", Args: state.NoArgs,
		Long: `List the dead letters, oldest first: the number of each, its event, the sink
that refused it and why. The flags select; without them, it lists all.`,
		Example: "  relay deadletters list --sink bot --since 24h\n  relay deadletters list --json | jq -r .reason | sort | uniq -c",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.register(cmd.Flags())
	return cmd
}

func (o *deadLettersListOptions) run(ctx context.Context) error {
	q, err := o.query(time.Now())
	if err != nil {
		return err
	}
	return listDeadLetters(ctx, o.State, q, o.json, "")
}
