package webhook_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// verifierProgram makes a program in testdata/verify ready to run.
func verifierProgram(t *testing.T, name string) []string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "testdata", "verify", name))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	switch filepath.Ext(name) {
	case ".py":
		return []string{peertest.RequirePython(t), path}
	case ".mjs": // Where it finds its packages.
		node, peers := peertest.Require(t)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(peers, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(dir, name)
		if err := os.WriteFile(program, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{node, program}
	}
	program := filepath.Join(dir, "verify")
	if out, err := exec.Command("go", "build", "-o", program, path).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return []string{program}
}

// startVerifier runs a receiver and returns its URL and what it prints.
func startVerifier(t *testing.T, name, env string) (url string, out *bufio.Reader) {
	t.Helper()
	command := verifierProgram(t, name)
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env, "LISTEN=127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := bufio.NewReader(stderr)
	line, err := said.ReadString('\n')
	if _, url, _ = strings.Cut(strings.TrimSpace(line), "listening on "); url == "" {
		rest, _ := io.ReadAll(said)
		t.Fatalf("%s does not listen: %v: %s%s", name, err, line, rest)
	}
	return url, bufio.NewReader(stdout)
}

// TestSignaturesVerify sends events to receivers that check signatures with the libraries of three languages.
func TestSignaturesVerify(t *testing.T) {
	private, public := webhook.NewKeyPair()
	otherPrivate, _ := webhook.NewKeyPair()
	fresh, old, other := webhook.NewSigningSecret(), webhook.NewSigningSecret(), webhook.NewSigningSecret()
	keys := func(secrets []secret.String, private secret.String) func(*webhook.Config) {
		return func(c *webhook.Config) { c.Secret, c.Secrets, c.PrivateKey = secret.String{}, secrets, private }
	}
	type try struct {
		name   string
		change func(*webhook.Config)
		want   string
	}
	shared := []try{
		{"rotating", keys([]secret.String{fresh, old}, secret.String{}), "accepted"},
		{"rotating, the other way", keys([]secret.String{old, fresh}, secret.String{}), "accepted"},
		{"alone", keys([]secret.String{old}, secret.String{}), "accepted"},
		{"beside a private key", keys([]secret.String{old}, private), "accepted"},
		{"another secret", keys([]secret.String{other}, secret.String{}), "denied"},
		{"only a private key", keys(nil, private), "denied"},
	}
	for name, c := range map[string]struct {
		env   string
		tries []try
	}{
		"verify.go":  {"WEBHOOK_SECRET=" + old.Reveal(), shared},
		"verify.mjs": {"WEBHOOK_SECRET=" + old.Reveal(), shared},
		"verify.py":  {"WEBHOOK_SECRET=" + old.Reveal(), shared},
		"verify-ed25519.mjs": {"WEBHOOK_PUBLIC_KEY=" + public, []try{
			{"alone", keys(nil, private), "accepted"},
			{"beside a secret", keys([]secret.String{old}, private), "accepted"},
			{"another key", keys(nil, otherPrivate), "denied"},
			{"only a secret", keys([]secret.String{old}, secret.String{}), "denied"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, out := startVerifier(t, name, c.env)
			for _, one := range c.tries {
				sink := sinktest.OpenWebhook(t, url, one.change)
				for i, message := range []string{"enjoy!", "žluťoučký kůň 🍕 \u2028 \"quoted\" \x00", strings.Repeat("long ", 10_000)} {
					r := sinktest.Record("mystream", i, message)
					_, err := sink.Deliver(t.Context(), []pipeline.Record{r})
					if got := sinktest.ErrorClass(err); got != one.want {
						t.Errorf("%s: %s, want %s: %v", one.name, got, one.want, err)
						continue
					}
					if err != nil {
						continue
					}
					if line, err := out.ReadString('\n'); strings.TrimSpace(line) != r.ID {
						t.Errorf("%s: the receiver printed %q (%v), want %s", one.name, line, err, r.ID)
					}
				}
			}
			if strings.HasPrefix(name, "verify.") {
				refusesForgeries(t, url, old)
			}
		})
	}
}

// refusesForgeries tries what an eavesdropper may.
func refusesForgeries(t *testing.T, url string, key secret.String) {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	const body = `{"id":"trt_1"}`
	for _, c := range []struct {
		name, id, body string
		at             time.Time
		mangle         func(string) string
		status         int
	}{
		{"the right one", "trt_1", body, now, nil, http.StatusNoContent},
		{"another body", "trt_1", body + " ", now, nil, http.StatusUnauthorized},
		{"another id", "trt_2", body, now, nil, http.StatusUnauthorized},
		{"too old", "trt_1", body, now.Add(-10 * time.Minute), nil, http.StatusUnauthorized},
		{"another version", "trt_1", body, now, func(s string) string { return "v9" + s[2:] }, http.StatusUnauthorized},
		{"cut", "trt_1", body, now, func(s string) string { return s[:20] }, http.StatusUnauthorized},
		{"none", "trt_1", body, now, func(string) string { return "" }, http.StatusUnauthorized},
	} {
		signature, err := signer.Sign("trt_1", c.at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if c.mangle != nil {
			signature = c.mangle(signature)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", c.id)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(c.at.Unix(), 10))
		req.Header.Set("webhook-signature", signature)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", c.name, err))
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.name, resp.StatusCode, c.status)
		}
	}
}
