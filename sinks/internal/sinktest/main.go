package sinktest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/natstest"
)

// Main runs the tests of a package, and fails if they leave a goroutine behind. It returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if err := RemoveBuilt(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if code == 0 {
		if err := goleak.Find(natstest.Leaks()...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}
