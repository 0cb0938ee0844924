// Package version knows which version of relay this is.
package version

import "runtime/debug"

// stamped is the version where the build cannot know it, as in an image: go build -ldflags '-X github.com/treatrelay/relay/cmd/relay/internal/version.stamped=v1.2.3'.
//
//nolint:gochecknoglobals // only the linker writes it
var stamped string

// Number is that of the module, as the build recorded it.
func Number() string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// UserAgent is what relay calls itself to every server, and where its people can be found.
func UserAgent() string { return "relay/" + Number() + " (+https://github.com/treatrelay/relay)" }
