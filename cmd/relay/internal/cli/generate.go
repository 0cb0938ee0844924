//go:build packaging

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
)

// packagingCommands are for those who make packages: generate, which is hidden. Its pages carry the day of SOURCE_DATE_EPOCH, if that is set.
func packagingCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use: "generate DIR", Short: "Write the man pages into DIR/man and the completions into DIR/completions", Hidden: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("%s takes one folder; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		Example: "  relay generate packaging/generated",
		RunE:    func(cmd *cobra.Command, args []string) error { return generate(cmd.Root(), args[0]) },
	}}
}

// generate writes a man page of each command, and completions for each shell, into folders in dir, which it makes.
func generate(root *cobra.Command, dir string) error {
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	for _, path := range []string{man, completions} {
		if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // what goes into a package is for everybody
			return fmt.Errorf("make the folder of packages' files: %w", err)
		}
	}
	root.DisableAutoGenTag = true // the pages are relay's
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
