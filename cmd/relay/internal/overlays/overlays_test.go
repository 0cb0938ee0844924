package overlays_test

import (
	"bytes"
	"strings"
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
