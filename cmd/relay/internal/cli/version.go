package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
)

func newVersionCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: state.NoArgs,
		Long: `Print the versions of relay and Go, the operating system and the architecture.
Include this line in bug reports.`,
		Example: "  relay version",
		RunE: func(*cobra.Command, []string) error {
			return s.Print(versionLine())
		},
	}
}

// versionLine returns what relay version and relay --version print.
func versionLine() string {
	return fmt.Sprintf("relay %s %s %s/%s", version.Number(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
