package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/peertest"
)

// A liveServer is a real npm socket.io 2.5.1 server that may die and freeze. What it is given to emit then, it emits later or never.
type liveServer struct {
	t    *testing.T
	dir  string
	port int

	mu  sync.Mutex
	cmd *exec.Cmd
	in  chan []byte // nil while it is dead
	end sync.WaitGroup
}

func newLiveServer(t *testing.T) *liveServer {
	t.Helper()
	_, dir := peertest.Require(t)
	s := &liveServer{t: t, dir: dir, port: freePort(t)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *liveServer) start() {
	s.t.Helper()
	cmd := exec.Command("node", "server.js", "--version", "2", "--port", fmt.Sprint(s.port), "--single-use", "--ping-interval", "2000", "--ping-timeout", "3000")
	cmd.Dir, cmd.Stderr = s.dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	answers := bufio.NewReader(out)
	if _, err := answers.ReadString('\n'); err != nil {
		s.t.Fatalf("npm server: %v", err)
	}
	queue := make(chan []byte, 1<<16)
	s.end.Go(func() { _, _ = io.Copy(io.Discard, answers) })
	s.end.Go(func() {
		for line := range queue {
			if _, err := in.Write(line); err != nil {
				break
			}
		}
		for range queue { // it is dead
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd, s.in = cmd, queue
}

func (s *liveServer) kill() {
	s.mu.Lock()
	cmd, queue := s.cmd, s.in
	s.cmd, s.in = nil, nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	close(queue)
	s.end.Wait()
	_ = cmd.Wait()
}

func (s *liveServer) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Signal(sig)
}

func (s *liveServer) emitAll(treats []any) {
	if len(treats) == 0 {
		return
	}
	line, err := json.Marshal(map[string]any{"cmd": "emit", "event": daemon.TreatEvent, "payloads": treats})
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in == nil {
		return
	}
	select {
	case s.in <- append(line, '\n'):
	default: // frozen for long: nobody hears it
	}
}

func (s *liveServer) url() string      { return fmt.Sprintf("http://127.0.0.1:%d/", s.port) }
func (s *liveServer) emit(int, int)    {}
func (s *liveServer) drop()            {}
func (s *liveServer) restart()         {}
func (s *liveServer) connections() int { return 0 }

// A gateway is a proxy of the provider's HTTP endpoints that can answer in its place.
type gateway struct {
	url string

	mu    sync.Mutex
	fails map[string]http.HandlerFunc // by a part of the path
}

func newGateway(t *testing.T, to string) *gateway {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) } // relay was killed
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if fails := g.find(req.URL.Path); fails != nil {
			fails(rw, req)
			return
		}
		proxy.ServeHTTP(rw, req)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *gateway) find(path string) http.HandlerFunc {
	g.mu.Lock()
	defer g.mu.Unlock()
	for part, fails := range g.fails {
		if strings.Contains(path, part) {
			return fails
		}
	}
	return nil
}

func (g *gateway) set(fails map[string]http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails = fails
}

// A flakyReceiver is a bot whose machine and program fail. Its account has what it processed, whatever it answered.
type flakyReceiver struct {
	account *account
	t       *testing.T
	address string
	mood    atomic.Int32
	lies    atomic.Int64 // events that it has processed and did not accept
	random  *rand.Rand
	hook    *standardwebhooks.Webhook

	mu     sync.Mutex
	server *http.Server
	served sync.WaitGroup
}

// The moods of a receiver.
const (
	wellBehaved int32 = iota
	slow              // 50 ms an event
	lying             // processes, and says that it has not, or nothing
	hanging           // does not answer
)

func newFlakyReceiver(t *testing.T, a *account, seed uint64) *flakyReceiver {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &flakyReceiver{account: a, t: t, address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), random: rand.New(rand.NewPCG(seed, 5)), hook: hook}
	r.start()
	return r
}

func (r *flakyReceiver) url() string { return "http://" + r.address + "/treats" }

func (r *flakyReceiver) start() {
	r.t.Helper()
	var l net.Listener
	eventually(r.t, func() (err error) {
		l, err = net.Listen("tcp", r.address)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve)}
	server := r.server
	r.served.Go(func() { _ = server.Serve(l) })
}

func (r *flakyReceiver) stop() {
	r.mu.Lock()
	server := r.server
	r.mu.Unlock()
	_ = server.Close()
	r.served.Wait()
}

// leave is stop by somebody who waits until what is being processed is answered: then relay knows what has arrived.
func (r *flakyReceiver) leave() {
	r.t.Helper()
	r.mu.Lock()
	server := r.server
	r.mu.Unlock()
	if err := server.Shutdown(r.t.Context()); err != nil {
		r.t.Error(err)
	}
	r.served.Wait()
}

func (r *flakyReceiver) serve(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // relay was killed
	}
	if err := r.hook.VerifyIgnoringTimestamp(body, req.Header); err != nil { // relay's clock may be wrong
		r.t.Errorf("webhook: %v", err)
		return
	}
	mood := r.mood.Load()
	switch mood {
	case slow:
		time.Sleep(50 * time.Millisecond)
	case hanging:
		select {
		case <-req.Context().Done():
		case <-time.After(10 * time.Second):
		}
		return
	}
	r.account.take(body)
	if mood != lying {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	r.mu.Lock()
	choice := r.random.IntN(8)
	r.mu.Unlock()
	if choice < 4 {
		r.lies.Add(1)
	}
	switch choice {
	case 0:
		http.Error(rw, "I have not got it", http.StatusInternalServerError)
	case 1:
		panic(http.ErrAbortHandler) // hangs up
	case 2:
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusServiceUnavailable)
	case 3:
		rw.Header().Set("Location", r.url()+"/elsewhere")
		rw.WriteHeader(http.StatusTemporaryRedirect)
	default:
		rw.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(rw, `{"ok":false,"error":"this is no error"}`)
	}
}

// follow records the messages of a stream TREATS. After an interruption it continues where it was.
func (c *chaos) follow(a *account, at string, login nats.Option) {
	c.t.Helper()
	opts := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.RetryOnFailedConnect(true)}
	if login != nil {
		opts = append(opts, login)
	}
	nc, err := nats.Connect(at, opts...)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(c.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		followStream(ctx, nc, a)
	}()
	c.t.Cleanup(func() {
		stop()
		nc.Close() // which ends a read whose server is gone
		<-done
	})
}

// followStream reads message after message by its number, so that each is read once.
func followStream(ctx context.Context, nc *nats.Conn, a *account) {
	js, err := jetstream.New(nc)
	if err != nil {
		return
	}
	next := uint64(1)
	for ctx.Err() == nil {
		read := func() error {
			asking, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			cons, err := js.OrderedConsumer(asking, natsserver.Stream, jetstream.OrderedConsumerConfig{
				DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next,
			})
			if err != nil {
				return err
			}
			for {
				batch, err := cons.Fetch(500, jetstream.FetchMaxWait(500*time.Millisecond))
				if err != nil {
					return err
				}
				for m := range batch.Messages() {
					meta, err := m.Metadata()
					if err != nil {
						return err
					}
					if meta.Sequence.Stream < next {
						continue
					}
					a.take(m.Data())
					next = meta.Sequence.Stream + 1
				}
				if batch.Error() != nil && !errors.Is(batch.Error(), nats.ErrTimeout) {
					return batch.Error()
				}
				if ctx.Err() != nil {
					return nil
				}
			}
		}
		if read() != nil {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}
