package simulator

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/peertest"
)

// TestOfficialClients lets the clients of npm receive every sort of treat, beginning as the provider's sample program
// does (by polling) and over a WebSocket alone.
func TestOfficialClients(t *testing.T) {
	node, peers := peertest.Require(t)
	script, err := filepath.Abs("testdata/client.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"socket.io-1", "socket.io-2"} {
		for _, transports := range []string{"default", "websocket"} {
			t.Run(alias+"/"+transports, func(t *testing.T) {
				s, c := start(t, Config{PingInterval: 100 * time.Millisecond, PingTimeout: 20 * time.Second}), browser(t)
				access := grant(t, c, s)
				good := runClient(t, node, peers, script, alias, s.URL(), transports, ticket(t, c, s, access))
				good.expect("connect")
				for range 3 {
					good.expect("pong")
				}
				k := newGenerator(1)
				for range 600 {
					if n, err := s.Emit(k.next()); n != 1 || err != nil {
						t.Fatalf("Emit = %d, %v", n, err)
					}
				}
				var received []Treat
				for range 600 {
					var treat Treat
					if err := json.Unmarshal(good.expect("realTimeTreat"), &treat); err != nil {
						t.Fatal(err)
					}
					received = append(received, treat)
				}
				if diff := cmp.Diff(s.Emitted(), received); diff != "" {
					t.Errorf("emitted and received differ (-emitted +received):\n%s", diff)
				}
				s.DropConnections()
				good.expect("disconnect")

				bad := runClient(t, node, peers, script, alias, s.URL(), transports, "guess")
				if why := string(bad.expect("error")); why != `"Authentication error"` {
					t.Errorf("a bad token gives the error %s", why)
				}
			})
		}
	}
}

type program struct {
	*testing.T
	lines *bufio.Scanner
}

func runClient(t *testing.T, node, dir, script, alias, target, transports, token string) program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), node, script, alias, target, transports)
	cmd.Dir, cmd.Stderr = dir, t.Output()
	cmd.Env = append(os.Environ(), "TOKEN="+token)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return program{t, bufio.NewScanner(out)}
}

// expect returns the detail of the next line with a name; heartbeats may come before it, and errors before the end.
func (p program) expect(name string) json.RawMessage {
	p.Helper()
	for p.lines.Scan() {
		var line []json.RawMessage
		if err := json.Unmarshal(p.lines.Bytes(), &line); err != nil {
			p.Fatal(err)
		}
		got := string(line[0])
		if got == `"`+name+`"` {
			return line[1]
		}
		if got != `"pong"` && got != `"connect"` && (name != "disconnect" || got != `"error"`) {
			p.Fatalf("the client says %s, want %s", p.lines.Text(), name)
		}
	}
	p.Fatalf("the client ended (%v), want %s", p.lines.Err(), name)
	return nil
}
