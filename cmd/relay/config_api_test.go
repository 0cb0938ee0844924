package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/simulator"
)

// The API shows the configuration as relay config show prints it. When the file has a fault, it shows the place of the fault, and the
// configuration that still holds.
func TestConfigurationOfARunningRelay(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	client := w.client()
	v, err := client.Configuration(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := w.relay(exit.OK, "config", "show").out.text() + "\n"
	if v.Text != shown || v.Path != w.config || len(v.Warnings)+len(v.Faults) > 0 || v.Problem != "" {
		t.Errorf("%+v\nrelay config show prints:\n%s", v, shown)
	}
	good, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(good), "type: webhook", "type: webhook\n    ulr: x", 1)
	if err := os.WriteFile(w.config, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.err.find(t, "the old one holds")
	if v, err = client.Configuration(t.Context()); err != nil {
		t.Fatal(err)
	}
	line := strings.Count(bad[:strings.Index(bad, "ulr:")], "\n") + 1
	if v.Text != shown || len(v.Faults) != 1 || v.Faults[0].Path != "sinks.bot.ulr" || v.Faults[0].Line != line || v.Faults[0].Column != 5 ||
		!strings.Contains(v.Problem, "unknown key") {
		t.Errorf("with a fault in line %d: %+v", line, v)
	}
	if strings.Contains(v.Text+v.Problem, simulator.DefaultClientSecret) {
		t.Error("the client secret is shown")
	}
	p.stop()
}
