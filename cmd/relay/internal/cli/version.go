package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
)

func versionCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: state.NoArgs, Example: "  relay version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.Out, "relay %s %s %s/%s\n", version.Number(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
