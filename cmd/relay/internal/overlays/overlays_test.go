package overlays_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/overlays"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/web/overlay"
)

// An overlay that leaves the configuration while keys open it gets a warning, once.
func TestReloadWithoutAnOverlay(t *testing.T) {
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: t.TempDir(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	stack.Run(t)
	var log bytes.Buffer
	both := map[string]overlay.Settings{"used": overlay.NewSettings(), "unused": overlay.NewSettings()}
	s, err := overlays.Open(t.Context(), overlays.Config{Journal: stack.Journal, Settings: both, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"used", "command"} {
		st, err := s.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := st.NewKey(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Reload(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if text := log.String(); strings.Count(text, "no longer in the configuration") != 1 || !strings.Contains(text, `"overlay":"used"`) {
		t.Errorf("log: %s", text)
	}
}

// An overlay that is removed does not come back, with a reload or a restart, and its keys open nothing.
func TestRemove(t *testing.T) {
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: t.TempDir(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	stack.Run(t)
	open := func() *overlays.Service {
		s, err := overlays.Open(t.Context(), overlays.Config{
			Journal: stack.Journal, Settings: map[string]overlay.Settings{"kept": overlay.NewSettings()}, Log: zerolog.Nop(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { s.Run(ctx) })
	st, err := s.Create(t.Context(), "old")
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := st.NewKey(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	page, err := st.Open(overlay.PageRequest{ID: "page"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "kept"); !errors.Is(err, overlays.ErrConfigured) {
		t.Errorf("one of the configuration: %v", err)
	}
	if err := s.Remove(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	for range page.Messages() { // until the page is closed
		continue
	}
	if err := st.Pause(t.Context()); err != nil { // by somebody who had it already
		t.Error(err)
	}
	if err := s.Remove(t.Context(), "old"); !errors.Is(err, overlay.ErrNoOverlay) {
		t.Errorf("removed twice: %v", err)
	}
	stop()
	run.Wait()
	for what, s := range map[string]*overlays.Service{"a reload": s, "a restart": open()} {
		if err := s.Reload(t.Context(), map[string]overlay.Settings{"kept": overlay.NewSettings()}); err != nil {
			t.Fatal(err)
		}
		if names := s.Names(); !slices.Equal(names, []string{"kept"}) {
			t.Errorf("after %s there are %v", what, names)
		}
		if _, ok := s.Keys().Check(t.Context(), key.Reveal()); ok {
			t.Errorf("after %s its key opens something", what)
		}
	}
}
