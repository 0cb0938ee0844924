package natsserver_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.Leaks()...) }

const password = "pass-word"

func start(t *testing.T, dir string) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(t.Context(), natsserver.Config{
		Dir: dir, Listen: "127.0.0.1:0", OverlayUser: "overlay", OverlayPassword: secret.New(password), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// own connects as the sink does, and makes the stream.
func own(t *testing.T, s *natsserver.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: natsserver.Stream, Subjects: []string{natsserver.Subjects}}); err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func publish(t *testing.T, js jetstream.JetStream, number int) {
	t.Helper()
	m := nats.NewMsg("treats.treatstream.acc")
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("trt_%d", number))
	m.Header.Set(natsserver.NumberHeader, fmt.Sprint(number))
	m.Data = []byte("hello")
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestStartSaysWhatToChange(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cfg  natsserver.Config
		want []string
	}{
		"port taken":       {natsserver.Config{Dir: t.TempDir(), Listen: taken.Addr().String()}, []string{taken.Addr().String(), "in use", "nats.listen"}},
		"page port taken":  {natsserver.Config{Dir: t.TempDir(), Websocket: taken.Addr().String()}, []string{taken.Addr().String(), "in use", "nats.websocket"}},
		"no port":          {natsserver.Config{Dir: t.TempDir(), Listen: "localhost"}, []string{"HOST:PORT"}},
		"not a dir":        {natsserver.Config{Dir: filepath.Join(file, "x")}, []string{"--data-dir"}},
		"port so big":      {natsserver.Config{Dir: t.TempDir(), Listen: "127.0.0.1:70000"}, []string{"0 to 65535"}},
		"port not numeric": {natsserver.Config{Dir: t.TempDir(), Listen: "127.0.0.1:nats"}, []string{"0 to 65535"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := natsserver.Start(t.Context(), tt.cfg)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestURL(t *testing.T) {
	for listen, host := range map[string]string{"0.0.0.0:0": "127.0.0.1", "127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1"} {
		s, err := natsserver.Start(t.Context(), natsserver.Config{Dir: t.TempDir(), Listen: listen, Websocket: listen})
		if err != nil {
			t.Fatal(err)
		}
		for scheme, text := range map[string]string{"nats": s.URL(), "ws": s.WebsocketURL()} {
			u, err := url.Parse(text)
			if err != nil || u.Scheme != scheme || u.Hostname() != host || u.Port() == "" || u.Port() == "0" {
				t.Errorf("listening on %s: URL %s", listen, text)
			}
		}
		s.Close()
		s.Close() // twice is as good as once
	}
	s, err := natsserver.Start(t.Context(), natsserver.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.URL() != "" || s.WebsocketURL() != "" {
		t.Errorf("URLs of a server that does not listen: %q, %q", s.URL(), s.WebsocketURL())
	}
}

// TestSynced wants to know what is durable, also of a former process, and to know no more than that.
func TestSynced(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	_, js := own(t, s)
	if h, ok := s.Synced(natsserver.Stream); ok {
		t.Errorf("of an empty stream is known %+v", h)
	}
	for i := range 10 {
		publish(t, js, i+100)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := natsserver.Held{Sequence: 10, Number: 109, ID: "trt_109"}
	if h, ok := s.Synced(natsserver.Stream); h != want || !ok {
		t.Errorf("synced up to %+v, want %+v", h, want)
	}
	publish(t, js, 200)
	s.Close()
	s = start(t, dir)
	want = natsserver.Held{Sequence: 11, Number: 200, ID: "trt_200"}
	if h, ok := s.Synced(natsserver.Stream); h != want || !ok {
		t.Errorf("after a restart synced up to %+v, want %+v", h, want)
	}
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "synced.json"), []byte(`{"TREATS":{"seq`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, ok := s.Synced(natsserver.Stream); h != want || !ok {
		t.Errorf("after damage to the note synced up to %+v, want %+v", h, want)
	}
}

// TestSyncsByItself waits for what nobody asked to sync: the first message, and one right after it, for which the end of the stream is not read at
// once.
func TestSyncsByItself(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	for number := range uint64(3) {
		publish(t, js, int(number)+7)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if h, ok := s.Synced(natsserver.Stream); ok && h.Number == number+7 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("message %d is not synced", number+7)
			}
		}
	}
}
