//go:build !packaging

package cli

import "github.com/spf13/cobra"

// packagingCommands returns none: the released binary does without the man page generator, which adds 1 MiB and is of no use to users.
func packagingCommands() []*cobra.Command { return nil }
