//go:build !unix

package sinks_test

import "testing"

// processDestinations has none where no signal stops a process; the embedded server is the same code.
func processDestinations() map[string]func(*testing.T) *destination { return nil }
