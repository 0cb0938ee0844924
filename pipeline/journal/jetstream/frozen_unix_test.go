//go:build unix

package jetstream

import (
	"errors"
	"strings"
	"testing"

	"github.com/treatrelay/relay/internal/natstest"
)

// A server that does not answer holds nobody up for good.
func TestFrozenServer(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	appendAll(t, l, entries(0, 5))
	p.Freeze()
	var err error
	n := 5
	for ; err == nil; n++ { // it may do a little before it stands still
		_, err = l.Append(t.Context(), entries(n, n+1))
	}
	if !strings.Contains(err.Error(), p.Addr()) || !errors.Is(err, errNoAnswer) && !errors.Is(err, errLost) {
		t.Errorf("error %v", err)
	}
	p.Thaw()
	appendAll(t, l, entries(n-1, n+5))
	wantEqual(t, "ids", ids(readAll(t, l, 1)), wantIDs(0, n+5))
}
