package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// overlayHarness runs relay.js as the page does, but for the page: it prints the treats, and says how it is on stderr.
const overlayHarness = `
const { readFileSync } = require("node:fs");
globalThis.WebSocket = require("ws");
(0, eval)(readFileSync(process.argv[2], "utf8") + ";globalThis.relayTreats = relayTreats");
relayTreats(process.argv[3], "obs", async (event) => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  console.log(JSON.stringify(event));
}, (text) => console.error(text));
`

// The overlay page gets every treat once and in order through the WebSocket: over a restart of relay, and what came while the page was
// closed when it is open again. A wrong password gets nothing, and is said.
func TestOverlayPage(t *testing.T) {
	node := nodeProgram(t, "examples", "overlay", "relay.js")
	harness := filepath.Join(filepath.Dir(node[1]), "harness.cjs")
	if err := os.WriteFile(harness, []byte(overlayHarness), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, simulatedRealtime)
	w.login()
	page := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.rewrite(func(text string) string {
		return strings.Replace(text, "nats: {", "nats: {websocket: \""+page+"\", ", 1)
	})
	p := w.start("--sink", "overlay")
	p.err.find(t, "overlay pages may connect")
	w.connected()
	var login overlayLogin
	data, err := os.ReadFile(filepath.Join(w.dir, "data", overlayFile))
	if err == nil {
		err = json.Unmarshal(data, &login)
	}
	if err != nil {
		t.Fatal(err)
	}
	open := func(password string) *process {
		return startProgram(t, []string{node[0], harness, node[1], "ws://" + login.User + ":" + password + "@" + page}, nil)
	}
	wrong := open("wrong-password")
	wrong.err.find(t, "Authorization Violation")

	first := open(login.Password)
	first.err.find(t, "connected")
	w.live.emit(0, 50)
	holds(t, "the page", first.out, 0, 50)
	p.stop()
	first.err.find(t, "relay is not there")
	p = w.start("--sink", "overlay")
	w.connected()
	w.live.emit(50, 100)
	holds(t, "the page", first.out, 0, 100)
	first.signal(syscall.SIGKILL)
	<-first.done

	w.live.emit(100, 150) // while it is closed
	overlay := w.overlay()
	holds(t, "NATS", overlay, 0, 150)
	second := open(login.Password)
	holds(t, "the page", second.out, 100, 150)
	if got := wrong.out.get(); len(got) > 0 {
		t.Errorf("with a wrong password it gets %q", got)
	}
	p.stop()
	w.noSecrets(p)
	if strings.Contains(p.err.text(), login.Password) && strings.Count(p.err.text(), login.Password) > 0 {
		t.Error("the overlay login is in the log")
	}
}
