package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/internal/secret"
)

// A provider answers what relay asks beside the socket: it gives everybody a socket token, and its history is empty. It has many hosts, for relay
// spreads its token requests to each host, and a thousand accounts of one would take two minutes to connect.
type provider struct {
	http.Server
	urls [providerHosts]string
}

const providerHosts = 100

func newProvider(ctx context.Context) (*provider, error) {
	p := &provider{}
	mux := http.NewServeMux()
	mux.HandleFunc("/socketToken", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"socket_token":"token"}`) })
	mux.HandleFunc("/history/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[]`) })
	p.Handler = mux
	for i := range p.urls {
		var err error
		if p.urls[i], err = serve(ctx, &p.Server, fmt.Sprintf("127.0.0.%d", i+1)); err != nil {
			return p, err
		}
	}
	return p, nil
}

// A relay is one that is set up to receive from the emitter.
type relay struct {
	*process
	dir     string
	nats    string
	metrics string
}

// A setup is how relay is to run.
type setup struct {
	binary   string // empty: the usual one
	dir      string // an earlier one's; empty: a new one
	accounts int    // 0: one
	sinks    string // YAML
	env      []string
	stdout   io.Writer
}

// prepare writes relay's configuration and the logins of its accounts.
func (b *bench) prepare(ctx context.Context, url string, s setup) (*relay, error) {
	r := &relay{dir: s.dir}
	if r.dir == "" {
		dir, err := os.MkdirTemp(b.tmp, "relay")
		if err != nil {
			return nil, err
		}
		r.dir = dir
	}
	for _, at := range []*string{&r.nats, &r.metrics} {
		var err error
		if *at, err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	id, err := store.LoadIdentity(ctx, store.IdentityOptions{Fallback: filepath.Join(r.dir, "identity.txt")})
	if err != nil {
		return nil, err
	}
	data := filepath.Join(r.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	files, err := store.Open(filepath.Join(data, "accounts"), store.NewAgeSealer(id))
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	text.WriteString("accounts:\n")
	for n := range max(s.accounts, 1) {
		name := "mystream"
		if s.accounts > 1 {
			name += strconv.Itoa(n)
		}
		fmt.Fprintf(&text, "  %s:\n    provider: treatstream\n    client_id: bench\n    client_secret: bench\n    endpoints:\n"+
			"      socket_token: %[2]s/socketToken\n      history: %[2]s/history/\n      socket: %[3]s\n", name, b.provider.urls[n%providerHosts], url)
		if s.dir != "" {
			continue // it has its logins
		}
		now := time.Now()
		if err := files.Save(name, grant.Grant{
			Provider: "treatstream", AccessToken: secret.New("access"), RefreshToken: secret.New("refresh"), TokenType: "Bearer",
			ObtainedAt: now, Expiry: now.Add(30 * 24 * time.Hour), RefreshExpiry: now.Add(180 * 24 * time.Hour), Generation: 1, State: grant.Active,
		}); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(&text, "sinks:\n%s\nnats: {listen: %s}\nhttp: {listen: %s}\n", s.sinks, r.nats, r.metrics)
	return r, os.WriteFile(filepath.Join(r.dir, "relay.yaml"), []byte(text.String()), 0o600)
}

// startRelay prepares and starts relay, and does not wait for it.
func (b *bench) startRelay(ctx context.Context, url string, s setup) (*relay, error) {
	r, err := b.prepare(ctx, url, s)
	if err != nil {
		return nil, err
	}
	if s.binary == "" {
		s.binary = b.relay
	}
	r.process, err = start(ctx, "relay", nil, s.stdout, append(s.env, "RELAY_IDENTITY_FILE="+filepath.Join(r.dir, "identity.txt")),
		s.binary, "--config", filepath.Join(r.dir, "relay.yaml"), "--data-dir", filepath.Join(r.dir, "data"))
	return r, err
}

// overlay waits until the login of overlays is there, and returns what a subscriber needs.
func (r *relay) overlay(ctx context.Context) (url string, login nats.Option, err error) {
	var file struct{ User, Password string }
	for {
		var c net.Conn
		if c, err = (&net.Dialer{}).DialContext(ctx, "tcp", r.nats); err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-r.done:
			return "", nil, r.died()
		case <-ctx.Done():
			return "", nil, fmt.Errorf("wait for relay's NATS server: %w; it said:\n%s", context.Cause(ctx), r.stderr)
		case <-time.After(2 * time.Millisecond):
		}
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "data", "nats-overlay.json"))
	if err != nil {
		return "", nil, err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return "", nil, err
	}
	return "nats://" + r.nats, nats.UserInfo(file.User, file.Password), nil
}

// metric reads a metric without labels.
func (r *relay) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.metrics+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := bytes.CutPrefix(lines.Bytes(), []byte(name+" ")); ok {
			return strconv.ParseFloat(string(value), 64)
		}
	}
	return 0, fmt.Errorf("relay has no metric %s", name)
}
