package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
)

// world is the environment of a relay: a provider, a realtime server, the receivers of its sinks.
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

// newWorld creates a world with three sinks: stdout, NATS and a webhook.
func newWorld(t *testing.T, live func(*testing.T, *simulator.Server) realtime) *world {
	t.Helper()
	return newWorldWith(t, simulator.Config{}, live)
}

// newWorldWith creates a world with this configuration of the provider.
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
	if _, err := store.LoadIdentity(t.Context(), store.IdentityOptions{Fallback: w.identity}); err != nil {
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
		HTTP:  httpSettings{Listen: "off"},
	}
	w.writeSettings()
	return w
}

// data is the path of something in relay's data folder, or of the folder.
func (w *world) data(below ...string) string {
	return filepath.Join(append([]string{w.dir, "data"}, below...)...)
}

// args name the configuration and the data folder on a command line.
func (w *world) args() []string { return []string{"--config", w.config, "--data-dir", w.data()} }

// flags are the args as relay repeats them in the commands that it advises.
func (w *world) flags() string { return " " + strings.Join(w.args(), " ") }

// start runs a relay command in this world.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	args = append(append(args, w.args()...), "--log-level", "debug")
	return startRelay(w.t, w.env(), args...)
}

func (w *world) env() []string {
	return []string{"TREATSTREAM_SECRET=" + simulator.DefaultClientSecret, "RELAY_IDENTITY_FILE=" + w.identity}
}

// grant reads the stored grant of an account.
func (w *world) grant(account string) grant.Grant {
	w.t.Helper()
	id, err := store.LoadIdentity(w.t.Context(), store.IdentityOptions{File: w.identity})
	if err != nil {
		w.t.Fatal(err)
	}
	files, err := store.Open(w.data(datadir.AccountsDir), store.NewAgeSealer(id))
	if err != nil {
		w.t.Fatal(err)
	}
	grant, err := files.Load(account)
	if err != nil {
		w.t.Fatal(err)
	}
	return grant
}

// expire makes the stored access token an expired one.
func (w *world) expire() {
	w.t.Helper()
	grant := w.grant("mystream")
	grant.ObtainedAt, grant.Expiry = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	id, err := store.LoadIdentity(w.t.Context(), store.IdentityOptions{File: w.identity})
	if err != nil {
		w.t.Fatal(err)
	}
	files, err := store.Open(w.data(datadir.AccountsDir), store.NewAgeSealer(id))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := files.Save("mystream", grant); err != nil {
		w.t.Fatal(err)
	}
}

// login logs in as on a headless machine: it opens the printed address elsewhere, and pastes the address of the redirect.
func (w *world) login() {
	w.t.Helper()
	w.loginTo("mystream")
}

func (w *world) loginTo(account string) {
	w.t.Helper()
	p := w.start("auth", "login", account, "--no-browser")
	line := p.err.find(w.t, w.sim.Endpoints().Authorize)
	address := line[strings.Index(line, "http"):]
	if _, err := io.WriteString(p.in, elsewhere(w.t, strings.TrimSpace(address))+"\n"); err != nil {
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

// overlayLogin reads the credentials that relay keeps for overlay backends.
func (w *world) overlayLogin() (login datadir.OverlayLogin) {
	w.t.Helper()
	data, err := os.ReadFile(w.data(datadir.OverlayFile))
	if err == nil {
		err = json.Unmarshal(data, &login)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return login
}

// overlay consumes the stream TREATS with the credentials that relay keeps for overlay backends.
func (w *world) overlay() *lines {
	w.t.Helper()
	got, login := new(lines), w.overlayLogin()
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

// overlayMessages subscribes to the overlay's messages, as an overlay backend does.
func (w *world) overlayMessages() <-chan *nats.Msg {
	w.t.Helper()
	login := w.overlayLogin()
	nc, err := nats.Connect("nats://"+w.natsAddr, nats.UserInfo(login.User, login.Password))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	messages := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe("treats.>", messages); err != nil {
		w.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return messages
}

// onServer moves the journal to an external server.
func (w *world) onServer(url string) {
	w.t.Helper()
	w.configure(func(s *settings) { s.Journal.NATSURL = url })
}

// onHTTP makes relay serve HTTP, and returns the URL of /readyz.
func (w *world) onHTTP() string {
	w.t.Helper()
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(w.t))
	w.configure(func(s *settings) { s.HTTP.Listen = listen })
	return "http://" + listen + "/readyz"
}

// noSecrets checks that relay's output contains none of this world's secrets, even at debug level.
func (w *world) noSecrets(p *process) {
	w.t.Helper()
	if err := w.findSecret(p.err.text() + p.out.text()); err != nil {
		w.t.Error(err)
	}
	grant := w.grant("mystream")
	stored, err := os.ReadFile(w.data(datadir.AccountsDir, "mystream.json"))
	if err != nil || bytes.Contains(stored, []byte(grant.AccessToken.Reveal())) {
		w.t.Errorf("the stored tokens are not sealed (%v)", err)
	}
}

// findSecret returns an error if text contains a secret of this world.
func (w *world) findSecret(text string) error {
	w.t.Helper()
	grant := w.grant("mystream")
	for _, s := range []string{
		simulator.DefaultClientSecret, strings.TrimPrefix(webhookSecret, "whsec_"), "?token=", "&token=", grant.AccessToken.Reveal(), grant.RefreshToken.Reveal(),
	} {
		if strings.Contains(text, s) {
			return fmt.Errorf("a secret of %d characters is in the output", len(s))
		}
	}
	return nil
}

// checkNoSecret checks that a text contains no configured secret of this world, and no identity.
func (w *world) checkNoSecret(what, text string) {
	w.t.Helper()
	secrets := []string{webhookSecret, simulator.DefaultClientSecret}
	if g, err := os.ReadFile(w.identity); err == nil {
		secrets = append(secrets, strings.TrimSpace(string(g)))
	}
	for _, s := range secrets {
		if strings.Contains(text, s) {
			w.t.Errorf("%s shows a secret: %s", what, text)
		}
	}
}

// sends makes the simulator send the treats from..to-1 and keep them in its history.
func (w *world) sends(from, to int) {
	w.t.Helper()
	for n := from; n < to; n++ {
		if _, err := w.sim.Emit(simulator.Treat{Sender: "Viewer", SenderType: "twitch", Title: title(n)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// sendsTo makes the simulator send the treats from..to-1 to a channel. ago is their age, 0 for now.
func (w *world) sendsTo(channel string, from, to int, ago time.Duration) {
	w.t.Helper()
	for n := from; n < to; n++ {
		t := simulator.Treat{Sender: "Viewer", SenderType: "twitch", Receiver: channel, Title: title(n)}
		if ago > 0 {
			t.DateCreated = time.Now().Add(-ago + time.Duration(n)*time.Second).UTC().Format(time.DateTime)
		}
		if _, err := w.sim.Emit(t); err != nil {
			w.t.Fatal(err)
		}
	}
}

// delivered waits until the receiver has n requests, and returns their events.
func (w *world) delivered(n int) []pipeline.Event {
	w.t.Helper()
	eventually(w.t, func() error {
		if got := len(w.bot.get()); got < n {
			return fmt.Errorf("%d requests, want %d", got, n)
		}
		return nil
	})
	all := events(w.t, w.bot.get())
	if len(all) != n {
		w.t.Fatalf("%d requests, want %d", len(all), n)
	}
	return all
}

// awaitEvent waits until the receiver has an event with this id.
func (w *world) awaitEvent(id string) {
	w.t.Helper()
	eventually(w.t, func() error {
		w.bot.mu.Lock()
		defer w.bot.mu.Unlock()
		if !slices.Contains(w.bot.ids, id) {
			return fmt.Errorf("%s does not arrive", id)
		}
		return nil
	})
}

// eachOnce waits until the receiver has n different events, and returns their ids.
func (w *world) eachOnce(n int) (ids map[string]bool) {
	w.t.Helper()
	eventually(w.t, func() error {
		w.bot.mu.Lock()
		defer w.bot.mu.Unlock()
		ids = make(map[string]bool)
		for _, id := range w.bot.ids {
			ids[id] = true
		}
		if len(ids) < n {
			return fmt.Errorf("%d different treats have arrived, want %d", len(ids), n)
		}
		return nil
	})
	return ids
}
