package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs, Example: "  relay version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.out, "relay %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// stamped is the version where the build cannot know it, as in an image: go build -ldflags '-X main.stamped=v1.2.3'.
//
//nolint:gochecknoglobals // only the linker writes it
var stamped string

// version is that of the module, as the build recorded it.
func version() string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// userAgent is what relay calls itself to every server, and where its people can be found.
func userAgent() string { return "relay/" + version() + " (+https://github.com/treatrelay/relay)" }
