//go:build packaging

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
)

// packagingCommands returns the hidden commands that package builds use.
func packagingCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use: "generate DIR", Short: "Write the man pages to DIR/man and the shell completions to DIR/completions", Hidden: true,
		Args: state.OneArg("the folder to write to"),
		Long: `Write a man page of each command to DIR/man, and the shell completions to
DIR/completions. The date of the man pages is that of SOURCE_DATE_EPOCH, if it
is set.`,
		Example: "  relay generate packaging/generated",
		RunE:    func(cmd *cobra.Command, args []string) error { return runGenerate(cmd.Root(), args[0]) },
	}}
}

func runGenerate(root *cobra.Command, dir string) error {
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	for _, path := range []string{man, completions} {
		if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // the files of a package are for all users
			return fmt.Errorf("create the folder of the generated files: %w", err)
		}
	}
	root.DisableAutoGenTag = true // no line that says cobra generated the page
	header := &doc.GenManHeader{Section: "1", Source: "relay " + version.Number(), Manual: "relay"}
	if err := doc.GenManTree(root, header, man); err != nil {
		return fmt.Errorf("write the man pages: %w", err)
	}
	err := errors.Join(
		root.GenBashCompletionFileV2(filepath.Join(completions, "relay.bash"), true),
		root.GenZshCompletionFile(filepath.Join(completions, "_relay")),
		root.GenFishCompletionFile(filepath.Join(completions, "relay.fish"), true),
		root.GenPowerShellCompletionFileWithDesc(filepath.Join(completions, "relay.ps1")),
	)
	if err != nil {
		return fmt.Errorf("write the completions: %w", err)
	}
	return nil
}
