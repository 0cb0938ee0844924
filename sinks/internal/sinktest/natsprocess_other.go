//go:build !unix

package sinktest

import "testing"

// ProcessDestinations has none where no signal stops a process; the embedded server is the same code.
func ProcessDestinations() map[string]func(*testing.T) *Destination { return nil }
