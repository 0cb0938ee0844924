//go:build !unix

package journaltest

import "testing"

func (s logSuite) filesThatCannotGrow(t *testing.T) { t.Skip("only Unix can limit the size of files") }

func (s stateSuite) filesThatCannotGrow(t *testing.T) {
	t.Skip("only Unix can limit the size of files")
}
