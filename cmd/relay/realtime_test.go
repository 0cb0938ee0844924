package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/internal/simulator"
)

// realtime is a server that sends treats.
type realtime interface {
	url() string
	emit(from, to int) // treats from..to-1, to all who are connected
	drop()             // cuts all connections
	restart()          // kills the server and starts it again on its port
	connections() int
}

func treatOf(n int) map[string]any {
	return map[string]any{
		"sender": "Viewer", "sender_type": "twitch", "receiver": "me", "receiver_type": "twitch",
		"title": title(n), "message": "enjoy 🍕\u2028!", "date_created": "2026-07-16 21:00:00",
	}
}

func title(n int) string { return fmt.Sprintf("Pizza %05d", n) }

// realtimes are the servers that the end-to-end tests run against.
var realtimes = []struct {
	name string
	live func(*testing.T, *simulator.Server) realtime
}{
	{"simulator", simulatedRealtime},
	{"socket.io 1.7.2", npmRealtime("1")},
	{"socket.io 2.5.1", npmRealtime("2")},
	{"socket.io 4.8.1", npmRealtime("4")},
}

// simulated is the simulator's own realtime server.
type simulated struct {
	t   *testing.T
	sim *simulator.Server
}

func simulatedRealtime(t *testing.T, sim *simulator.Server) realtime { return &simulated{t, sim} }

func (s *simulated) url() string      { return s.sim.Endpoints().Socket }
func (s *simulated) drop()            { s.sim.DropConnections() }
func (s *simulated) restart()         { s.sim.DropConnections() }
func (s *simulated) connections() int { return s.sim.Connections() }

func (s *simulated) emit(from, to int) {
	s.t.Helper()
	for n := from; n < to; n++ {
		data, err := json.Marshal(treatOf(n))
		if err != nil {
			s.t.Fatal(err)
		}
		s.sim.EmitRaw(data)
	}
}

// npmRealtime is a real npm socket.io server of the given major version. It accepts a token only once.
func npmRealtime(version string) func(*testing.T, *simulator.Server) realtime {
	return func(t *testing.T, _ *simulator.Server) realtime {
		t.Helper()
		_, dir := peertest.Require(t)
		n := &npmServer{t: t, dir: dir, version: version, port: freePort(t)}
		n.start()
		t.Cleanup(func() { n.kill() })
		return n
	}
}

type npmServer struct {
	t            *testing.T
	dir, version string
	port         int
	cmd          *exec.Cmd
	in           io.WriteCloser
	out          *bufio.Reader
}

func (n *npmServer) start() {
	n.t.Helper()
	n.cmd = exec.Command("node", "server.js", "--version", n.version, "--port", fmt.Sprint(n.port), "--single-use")
	n.cmd.Dir, n.cmd.Stderr = n.dir, os.Stderr
	in, err := n.cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.in, n.out = in, bufio.NewReader(out)
	if _, err := n.out.ReadString('\n'); err != nil {
		n.t.Fatalf("npm server: %v", err)
	}
}

func (n *npmServer) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

func (n *npmServer) ask(command map[string]any) (answer struct {
	OK          bool
	Error       string
	Connections int
},
) {
	n.t.Helper()
	data, err := json.Marshal(command)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.in.Write(append(data, '\n')); err != nil {
		n.t.Fatal(err)
	}
	line, err := n.out.ReadBytes('\n')
	if err != nil {
		n.t.Fatal(err)
	}
	if err := json.Unmarshal(line, &answer); err != nil || !answer.OK {
		n.t.Fatalf("npm server: %s (%v)", line, err)
	}
	return answer
}

func (n *npmServer) url() string      { return fmt.Sprintf("http://127.0.0.1:%d/", n.port) }
func (n *npmServer) drop()            { n.ask(map[string]any{"cmd": "drop"}) }
func (n *npmServer) connections() int { return n.ask(map[string]any{"cmd": "report"}).Connections }

func (n *npmServer) restart() {
	n.kill()
	n.start()
}

func (n *npmServer) emit(from, to int) {
	n.t.Helper()
	payloads := make([]any, 0, to-from)
	for i := from; i < to; i++ {
		payloads = append(payloads, treatOf(i))
	}
	n.ask(map[string]any{"cmd": "emit", "event": "realTimeTreat", "payloads": payloads})
}
