package auth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// newPipedTreeSnap is newTreeSnap for a bubble of synctest.
func newPipedTreeSnap(t *testing.T) *fakeTreeSnap {
	t.Helper()
	p, _ := provider.Lookup("treesnap")
	f := &fakeTreeSnap{}
	f.standIn = newStandInOf(t, p, f.answer, true, func(cfg *auth.Config) {
		cfg.ClientID, cfg.ClientSecret, cfg.RedirectURL = "", secret.String{}, ""
	})
	return f
}

// A token whose renewals keep failing is reported before it is lost.
func TestTreeSnapWarnsOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipedTreeSnap(t)
		f.imported(t)
		warnings := func() int { return strings.Count(f.log.String(), "the token ends soon") }
		time.Sleep(334 * day)
		usual := f.always(says(503, "maintenance"))
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { f.Run(ctx) })
		defer run.Wait()
		defer cancel()
		time.Sleep(16*day + 23*time.Hour)
		if n := warnings(); n != 0 {
			t.Errorf("%d warnings more than 14 days ahead, want 0", n)
		}
		time.Sleep(2 * time.Hour)
		if n := warnings(); n != 1 || !strings.Contains(f.log.String(), "could not be renewed so far") || !strings.Contains(f.log.String(), "relay auth import mystream") {
			t.Errorf("%d warnings 14 days ahead, want 1", n)
		}
		time.Sleep(3 * day)
		if n := warnings(); n != 4 {
			t.Errorf("%d warnings three days later, want 4", n)
		}
		f.always(usual)
		time.Sleep(day)
		if g := f.grant(t); g.Generation != 2 || g.State != grant.Active {
			t.Errorf("after the outage: generation %d, %s", g.Generation, g.State)
		}
	})
}

// A token that is imported late in its life is renewed without a warning.
func TestTreeSnapImportedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipedTreeSnap(t)
		time.Sleep(3 * 365 * day) // The bubble begins at a time that is believed of no token.
		late := jwt(fmt.Sprintf(`{"iat":%d,"exp":%d}`, time.Now().Add(-360*day).Unix(), time.Now().Add(5*day).Unix()))
		if err := f.ImportToken(t.Context(), f.make(late)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { f.Run(ctx) })
		time.Sleep(time.Hour)
		cancel()
		run.Wait()
		if g := f.grant(t); g.Generation != 2 || strings.Contains(f.log.String(), `"warn"`) {
			t.Errorf("generation %d\n%s", g.Generation, f.log)
		}
	})
}
