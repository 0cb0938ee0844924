package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
)

const patience = 60 * time.Second

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	if err := poll(check); err != nil {
		t.Fatal(err)
	}
}

// poll calls check until it returns nil, and returns its last error if it never does.
func poll(check func() error) (err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return nil
		}
	}
	return err
}

// freePort returns a port that nobody listens on, out of those that no system gives to a client or to a listener on port 0: they would
// take it before relay does.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// lines collects what a process writes, line by line.
type lines struct {
	mu   sync.Mutex
	all  []string
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.all = append(l.all, string(line))
		l.rest = append([]byte(nil), rest...)
	}
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

func (l *lines) text() string { return strings.Join(l.get(), "\n") }

func (l *lines) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(line))
}

// find waits for a line that contains part.
func (l *lines) find(t *testing.T, part string) string {
	t.Helper()
	var found string
	eventually(t, func() error {
		for _, line := range l.get() {
			if strings.Contains(line, part) {
				found = line
				return nil
			}
		}
		return fmt.Errorf("no line with %q in:\n%s", part, l.text())
	})
	return found
}

// process is a relay that runs.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, err *lines
	done     chan struct{}
}

// startRelay runs the built binary with these arguments.
func startRelay(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := prepareRelay(t, args...)
	p.start(env)
	return p
}

func prepareRelay(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(relayBinary(t), args...), out: new(lines), err: new(lines), done: make(chan struct{})}
	p.cmd.Stdout = p.out
	return p
}

func (p *process) start(env []string) {
	t := p.t
	t.Helper()
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.err
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("relay does not end:\n%s", p.err.text())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop asks relay to stop and wants exit code 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		p.t.Fatalf("exit code %d after SIGTERM:\n%s", code, p.err.text())
	}
}

// world is everything around a relay: a provider, a realtime server, the receivers of its sinks.
type world struct {
	t        *testing.T
	dir      string
	config   string    // the path of the configuration
	settings *settings // what it holds
	sim      *simulator.Server
	live     realtime
	bot      *receiver
	natsAddr string
	identity string // the file that tokens are sealed with
}

// realtime is the server that sends treats.
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

// newWorld makes a world with a configuration of three sinks: stdout, NATS and a webhook.
func newWorld(t *testing.T, live func(*testing.T, *simulator.Server) realtime) *world {
	t.Helper()
	return newWorldWith(t, simulator.Config{}, live)
}

// newWorldWith makes one with a provider of that kind.
func newWorldWith(t *testing.T, provider simulator.Config, live func(*testing.T, *simulator.Server) realtime) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), bot: newReceiver(t)}
	var err error
	if w.sim, err = simulator.Start(context.WithoutCancel(t.Context()), provider); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sim.Close() })
	w.live = live(t, w.sim)
	w.identity = filepath.Join(w.dir, "identity.txt")
	if _, err := auth.LoadIdentity(t.Context(), auth.IdentityOptions{Fallback: w.identity}); err != nil {
		t.Fatal(err)
	}
	w.natsAddr = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.config = filepath.Join(w.dir, "relay.yaml")
	bot := webhookTo(w.bot.server.URL)
	bot.Retry = retrySettings{Initial: "50ms", Max: "500ms"}
	w.settings = &settings{
		Accounts: map[string]*accountSettings{
			"mystream": treatStreamAccount(w.sim, fmt.Sprintf("http://127.0.0.1:%d/callback", freePort(t)), w.live.url()),
		},
		Sinks: map[string]*sinkSettings{"console": {Type: "stdout"}, "overlay": {Type: "nats"}, "bot": bot},
		NATS:  natsSettings{Listen: w.natsAddr},
	}
	w.writeSettings()
	return w
}

func (w *world) start(args ...string) *process {
	w.t.Helper()
	args = append(args, "--config", w.config, "--data-dir", filepath.Join(w.dir, "data"), "--log-level", "debug")
	return startRelay(w.t, w.env(), args...)
}

func (w *world) env() []string {
	return []string{"TREATSTREAM_SECRET=" + simulator.DefaultClientSecret, "RELAY_IDENTITY_FILE=" + w.identity}
}

// grant reads what relay has stored of an account.
func (w *world) grant(account string) auth.Grant {
	w.t.Helper()
	id, err := auth.LoadIdentity(w.t.Context(), auth.IdentityOptions{File: w.identity})
	if err != nil {
		w.t.Fatal(err)
	}
	store, err := auth.NewFileStore(filepath.Join(w.dir, "data", datadir.AccountsDir), auth.NewAgeSealer(id))
	if err != nil {
		w.t.Fatal(err)
	}
	grant, err := store.Load(account)
	if err != nil {
		w.t.Fatal(err)
	}
	return grant
}

// login logs in as on a headless machine: the address is opened elsewhere, and where that leads is pasted.
func (w *world) login() {
	w.t.Helper()
	w.loginTo("mystream")
}

func (w *world) loginTo(account string) {
	w.t.Helper()
	p := w.start("auth", "login", account, "--no-browser")
	line := p.err.find(w.t, w.sim.Endpoints().Authorize)
	address := line[strings.Index(line, "http"):]
	elsewhere := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := elsewhere.Get(strings.TrimSpace(address))
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	location := resp.Header.Get("Location")
	if location == "" {
		w.t.Fatalf("the provider did not redirect: %s", resp.Status)
	}
	if _, err := io.WriteString(p.in, location+"\n"); err != nil {
		w.t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		w.t.Fatalf("login: exit code %d:\n%s", code, p.err.text())
	}
	if out := p.out.get(); len(out) > 0 {
		w.t.Errorf("login writes to stdout: %q", out)
	}
}

// connected waits until relay is connected to the realtime server.
func (w *world) connected() {
	w.t.Helper()
	eventually(w.t, w.isConnected)
}

func (w *world) isConnected() error {
	if n := w.live.connections(); n != 1 {
		return fmt.Errorf("%d connections at the server, want 1", n)
	}
	return nil
}

// overlay consumes the stream TREATS with the credentials that relay keeps for overlay backends.
func (w *world) overlay() *lines {
	w.t.Helper()
	got := new(lines)
	data, err := os.ReadFile(filepath.Join(w.dir, "data", datadir.OverlayFile))
	if err != nil {
		w.t.Fatal(err)
	}
	var login datadir.OverlayLogin
	if err := json.Unmarshal(data, &login); err != nil {
		w.t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+w.natsAddr, nats.UserInfo(login.User, login.Password), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		w.t.Fatal(err)
	}
	cons, err := js.OrderedConsumer(w.t.Context(), natsserver.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	consuming, err := cons.Consume(func(m jetstream.Msg) { got.add(m.Data()) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		consuming.Stop()
		<-consuming.Closed()
		nc.Close()
	})
	return got
}

// webhookSecret signs the tests' webhooks.
const webhookSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// receiver is a bot's HTTP server that checks every signature.
type receiver struct {
	*lines
	server  *httptest.Server
	handler http.HandlerFunc

	mu     sync.Mutex
	ids    []string // webhook-id of each request, as they come
	delay  time.Duration
	refuse []string // what is in the events that it refuses for good
}

// refuses sets what is in the events that the receiver refuses from now on.
func (r *receiver) refuses(parts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = parts
}

// forget empties what the receiver has got.
func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = nil
	r.lines.mu.Lock()
	defer r.lines.mu.Unlock()
	r.all, r.rest = nil, nil
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{lines: new(lines)}
	r.handler = func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // relay was killed in the middle
		}
		if err := wh.Verify(body, req.Header); err != nil {
			t.Errorf("webhook: %v", err)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		select {
		case <-time.After(r.delay):
		case <-req.Context().Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if slices.ContainsFunc(r.refuse, func(part string) bool { return bytes.Contains(body, []byte(part)) }) {
			http.Error(rw, "no such dish", http.StatusBadRequest)
			return
		}
		r.ids = append(r.ids, req.Header.Get("webhook-id"))
		r.add(body)
	}
	r.server = httptest.NewServer(r.handler)
	t.Cleanup(r.server.Close)
	return r
}

// events decodes the lines of a sink. Each must be of the published schema.
func events(t *testing.T, of []string) []pipeline.Event {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../docs/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	all := make([]pipeline.Event, 0, len(of))
	for _, line := range of {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		e, err := pipeline.Record{Line: []byte(line)}.Event()
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, e)
	}
	return all
}

// holds waits until a sink has the titles first..last-1, each once and in order.
func holds(t *testing.T, name string, sink *lines, first, last int) {
	t.Helper()
	eventually(t, func() error {
		if got := len(sink.get()); got < last-first {
			return fmt.Errorf("%s has %d events, want %d", name, got, last-first)
		}
		return nil
	})
	got := events(t, sink.get())
	if len(got) != last-first {
		t.Errorf("%s has %d events, want %d", name, len(got), last-first)
	}
	for i, e := range got {
		if i < last-first && *e.Data.Title != title(first+i) {
			t.Fatalf("%s: event %d is %q, want %q", name, i, *e.Data.Title, title(first+i))
		}
	}
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

// npmRealtime is a real npm socket.io server of the given major version, which takes a token only once.
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
