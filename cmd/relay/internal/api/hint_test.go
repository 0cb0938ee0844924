package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Advice survives the way through JSON, and its command can be completed on the other side.
func TestHint(t *testing.T) {
	for _, tt := range []struct {
		fix       advice.Fix
		command   []string
		withFlags string
	}{
		{advice.Fix{}, nil, ""},
		{advice.Do("try again in a moment"), nil, "try again in a moment"},
		{advice.Run("relay sinks enable bot"), []string{"sinks", "enable", "bot"}, "run: relay sinks enable bot --data-dir d"},
		{advice.Fix{Command: "relay auth logout --force a", After: " forgets it"}, []string{"auth", "logout", "--force", "a"}, "relay auth logout --force a --data-dir d forgets it"},
		{advice.Run("chmod 700 d"), nil, "run: chmod 700 d"},
	} {
		p := api.NewProblem(500, api.ProblemFailed, "it failed").WithFix(tt.fix)
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		got := new(api.Problem)
		if err := json.Unmarshal(data, got); err != nil {
			t.Fatal(err)
		}
		if got.Fix != tt.fix.String() || !slices.Equal(got.FixCommand, tt.command) || got.FixWith(" --data-dir d") != tt.withFlags {
			t.Errorf("%s: %q, %q, %q", data, got.Fix, got.FixCommand, got.FixWith(" --data-dir d"))
		}
		want := "relay: read: it failed\n"
		if tt.withFlags != "" {
			want = "relay: read: it failed; " + tt.withFlags + "\n"
		}
		if text := exit.Text(fmt.Errorf("read: %w", got), " --data-dir d"); text != want {
			t.Errorf("a person reads %q, want %q", text, want)
		}
	}
}

// A hint whose command is not in its text is shown as it is.
func TestHintOfAnotherRelay(t *testing.T) {
	h := api.Hint{Fix: "log in again", FixCommand: []string{"auth", "login", "a"}}
	if got := h.FixWith(" --data-dir d"); got != h.Fix {
		t.Errorf("%q, want %q", got, h.Fix)
	}
}
