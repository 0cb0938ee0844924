package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/secret"
)

// overlayHarness runs relay.js without a page: it prints the treats to stdout and the connection state to stderr.
const overlayHarness = `
const { readFileSync } = require("node:fs");
globalThis.WebSocket = class extends require("ws") {
  constructor(...args) {
    super(...args);
    this.on("error", () => {}); // a browser does not throw an error that nobody listens for
  }
};
(0, eval)(readFileSync(process.argv[2], "utf8") + ";globalThis.relayTreats = relayTreats");
relayTreats(process.argv[3], "obs", async (event) => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  console.log(JSON.stringify(event));
}, (text) => console.error(text));
`

// The overlay page gets every treat once and in order through the WebSocket, across a restart of relay. When it is opened again it gets
// the treats that arrived meanwhile. With a wrong password it gets nothing, and reports that.
func TestOverlayPage(t *testing.T) {
	node := nodeProgram(t, "examples", "overlay", "relay.js")
	harness := filepath.Join(filepath.Dir(node[1]), "harness.cjs")
	if err := os.WriteFile(harness, []byte(overlayHarness), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, simulatedRealtime)
	w.login()
	page := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.configure(func(s *settings) { s.NATS.Websocket = page })
	p := w.start("--sink", "overlay")
	p.err.find(t, "overlay pages may connect")
	w.connected()
	login := w.overlayLogin()
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

// The examples skip messages in the stream that are not treats, and show the treats after them.
func TestExamplesSkipForeignMessages(t *testing.T) {
	page := nodeProgram(t, "examples", "overlay", "relay.js")
	harness := filepath.Join(filepath.Dir(page[1]), "harness.cjs")
	if err := os.WriteFile(harness, []byte(overlayHarness), 0o600); err != nil {
		t.Fatal(err)
	}
	const password = "overlay-password-of-the-test"
	s, err := natsserver.Start(t.Context(), natsserver.Config{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Websocket: "127.0.0.1:0", OverlayUser: "overlay", OverlayPassword: secret.New(password), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	nc, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: natsserver.Stream, Subjects: []string{natsserver.Subjects}})
	if err != nil {
		t.Fatal(err)
	}
	login := func(url string) string { return withLogin(t, url, "overlay", password) }
	programs := map[string]*process{
		"page": startProgram(t, []string{page[0], harness, page[1], login(s.WebsocketURL())}, nil),
		"Go":   startProgram(t, goExample(t, "subscriber"), []string{"NATS_URL=" + login(s.URL())}),
		"Node": startProgram(t, nodeProgram(t, "examples", "subscriber", "alerts.mjs"), []string{"NATS_URL=" + login(s.URL())}),
	}
	eventually(t, func() error {
		info, err := stream.Info(t.Context())
		if err == nil && info.State.Consumers < len(programs) {
			err = fmt.Errorf("%d consumers", info.State.Consumers)
		}
		return err
	})
	for _, text := range []string{"", "null", "[]", "1", `"x"`, "{}", `{"id":1}`, `{"id":"x"}`, `{"id":"x","data":null}`, "\xff", `{"id":"trt_1","data":{"sender":"Viewer","title":"Pizza"}}`} {
		if _, err := js.Publish(t.Context(), "treats.treatstream.mystream", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for name, p := range programs {
		t.Run(name, func(t *testing.T) { p.out.find(t, "Pizza") })
	}
}
