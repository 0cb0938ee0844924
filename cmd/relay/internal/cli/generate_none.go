//go:build !packaging

package cli

import "github.com/spf13/cobra"

// packagingCommands are none in the binary that is released: what writes man pages is 1 MiB of it, and of no use to its users.
func packagingCommands() []*cobra.Command { return nil }
