package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A command that is shown to the user can be pasted into a shell, and means the same configuration and data.
func TestCommand(t *testing.T) {
	for _, c := range []struct {
		config, dataDir string
		words           []string
		want            string
	}{
		{"", "", nil, "relay"},
		{"", "", []string{"sinks", "enable", "bot"}, "relay sinks enable bot"},
		{"my relay.yaml", "", []string{"sinks", "enable", "bot"}, "relay sinks enable bot --config 'my relay.yaml'"},
		{"r.yaml", "it's", []string{"trace", "a b"}, `relay trace 'a b' --config r.yaml --data-dir 'it'\''s'`},
		{"", "/d", []string{"secrets", "rotate", "bot", "--drop-old"}, "relay secrets rotate bot --drop-old --data-dir /d"},
	} {
		s := &state.State{ConfigPath: c.config, DataDir: c.dataDir}
		if got := s.Command(c.words...); got != c.want {
			t.Errorf("%q is %s, want %s", c.words, got, c.want)
		}
	}
}

// Advice has the flags behind its relay command, and behind no other.
func TestFix(t *testing.T) {
	s := &state.State{DataDir: "d"}
	for want, fix := range map[string]advice.Fix{
		"run: relay auth login a --data-dir d": advice.Run("relay auth login a"),
		"run: chmod 700 d":                     advice.Run("chmod 700 d"),
		"wait":                                 advice.Do("wait"),
		"":                                     {},
	} {
		if got := s.Fix(fix); got != want {
			t.Errorf("%v is %q, want %q", fix, got, want)
		}
	}
}

// A variable sets a flag that was not given, unless the flag has none; an invalid value is an error that names the variable.
func TestFromEnvironment(t *testing.T) {
	env := map[string]string{"RELAY_SINK": "bot", "RELAY_ALL": "true", "RELAY_LIMIT": "many", "RELAY_REASON": "404"}
	s := &state.State{Streams: state.Streams{Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	sink, reason := flags.String("sink", "", ""), flags.String("reason", "", "")
	all := flags.Bool("all", false, "")
	flags.Int("limit", 0, "")
	state.WithoutVariable(flags, "all")
	if err := flags.Parse([]string{"--reason", "410"}); err != nil {
		t.Fatal(err)
	}
	err := s.FromEnvironment(flags)
	if exit.Code(err) != exit.Usage || !bytes.Contains([]byte(err.Error()), []byte(`RELAY_LIMIT="many"`)) {
		t.Errorf("error %v", err)
	}
	if *sink != "bot" || *reason != "410" || *all {
		t.Errorf("--sink %s --reason %s --all=%v", *sink, *reason, *all)
	}
	if state.GivenOnCommandLine(flags, "sink", "all") || !state.GivenOnCommandLine(flags, "sink", "reason") {
		t.Error("a flag that a variable set counts as given on the command line")
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	table := state.NewTable(&b)
	table.Row("SINK", "STATE")
	table.Row("overlay", "ok")
	table.Row()
	table.Row("A", "B")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "SINK     STATE\noverlay  ok\n\nA  B\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	closed, other := io.Pipe()
	_ = closed.CloseWithError(fmt.Errorf("write: %w", syscall.EPIPE))
	table = state.NewTable(other)
	table.Row("A", "B")
	if err := table.Flush(); !errors.Is(err, syscall.EPIPE) || state.IgnoreClosedPipe(err) != nil {
		t.Errorf("into a closed pipe: %v", err)
	}
	if err := state.IgnoreClosedPipe(io.ErrUnexpectedEOF); err == nil {
		t.Error("another error is ignored")
	}
}
