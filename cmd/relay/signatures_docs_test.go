package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/peertest"
)

// docs/sinks.md shows the programs of testdata/verify, which verify signatures. They accept requests from relay, and
// neither a changed body nor an old request.
func TestDocumentedVerifiers(t *testing.T) {
	text := doctest.Read(t, sinksDoc)
	python := peertest.RequirePython(t)
	public := "whpk_" + base64.StdEncoding.EncodeToString(ed25519Key(t).Public().(ed25519.PublicKey))
	w := newWorld(t, simulatedRealtime)
	w.login()
	programs := map[string]*process{}
	addresses := map[string]string{}
	for _, name := range []string{"verify.go", "verify.mjs", "verify.py", "verify-ed25519.mjs"} {
		file := filepath.Join("testdata", "verify", name)
		if doctest.Read(t, file) != marked(t, text, "file: "+name) {
			t.Errorf("%s has another program than %s", sinksDoc, file)
		}
		var command []string
		switch filepath.Ext(name) {
		case ".go":
			binary := filepath.Join(t.TempDir(), "verify")
			if out, err := exec.Command("go", "build", "-o", binary, filepath.Join("..", "..", file)).CombinedOutput(); err != nil {
				t.Fatalf("build %s: %v\n%s", file, err, out)
			}
			command = []string{binary}
		case ".py":
			command = []string{python, filepath.Join("..", "..", file)}
		default:
			command = nodeProgram(t, "testdata", "verify", name)
		}
		p := startProgram(t, command, []string{"LISTEN=127.0.0.1:0", "WEBHOOK_SECRET=" + webhookSecret, "WEBHOOK_PUBLIC_KEY=" + public})
		_, addresses[name], _ = strings.Cut(p.err.find(t, "listening on "), "listening on ")
		programs[name] = p
		example := "bot"
		if name == "verify-ed25519.mjs" {
			example = "signed"
		}
		sink := regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(name, "-")
		w.addExample(replaceOnce(t, documentedSink(t, example, strings.TrimSuffix(addresses[name], "/")), example+":", sink+":"))
	}
	p := startRelay(t, append(w.env(), "WEBHOOK_SECRET="+webhookSecret, "BOT_PRIVATE_KEY="+privateKey), w.args()...)
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)
	var ids []string
	for _, e := range events(t, p.out.get()) {
		ids = append(ids, e.ID)
	}
	for name, program := range programs {
		if got := atLeast(t, name, program.out, 5); !slices.Equal(got, ids) {
			t.Errorf("%s took %v, want %v", name, got, ids)
		}
	}
	p.stop()
	for name, address := range addresses {
		forge(t, name, address)
	}
}

func ed25519Key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(privateKey, "whsk_"))
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

// forge sends a receiver signed requests: a valid one, a changed one and an old one.
func forge(t *testing.T, name, address string) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	const body = `{"id":"trt_1","type":"treatrelay.treat.v1"}`
	now := time.Now()
	for _, c := range []struct {
		what, body string
		at         time.Time
		status     int
	}{
		{"as it was signed", body, now, http.StatusNoContent},
		{"tampered with", replaceOnce(t, body, "trt_1", "trt_2"), now, http.StatusUnauthorized},
		{"old", body, now.Add(-10 * time.Minute), http.StatusUnauthorized},
	} {
		signature, err := wh.Sign("trt_1", c.at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "ed25519") {
			signed := fmt.Appendf(nil, "trt_1.%d.%s", c.at.Unix(), body)
			signature = "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519Key(t), signed))
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", "trt_1")
		req.Header.Set("webhook-timestamp", strconv.FormatInt(c.at.Unix(), 10))
		req.Header.Set("webhook-signature", signature)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: what is %s gets status %d, want %d", name, c.what, resp.StatusCode, c.status)
		}
	}
}

// The three steps of docs/sinks.md rotate a secret of a running relay, and no event is refused.
func TestDocumentedRotation(t *testing.T) {
	command := nodeProgram(t, "testdata", "verify", "verify.mjs")
	w := newWorld(t, simulatedRealtime)
	w.login()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	example := documentedSink(t, "rotated", "http://"+address)
	documentedFiles(t, w.dir, example)
	w.addExample(example)
	receive := func(secret string) *process {
		t.Helper()
		p := startProgram(t, command, []string{"LISTEN=" + address, "WEBHOOK_SECRET=" + secret})
		p.err.find(t, "listening on")
		return p
	}
	old := receive(webhookSecret)
	p := w.start("--sink", "rotated", "--sink", "console")
	w.connected()
	sent := 0
	send := func() {
		t.Helper()
		w.live.emit(sent, sent+1)
		sent++
	}
	steps := regexp.MustCompile("`(relay secrets [^`]*rotated[^`]*)`").FindAllStringSubmatch(doctest.Read(t, sinksDoc), -1)
	if len(steps) != 2 {
		t.Fatalf("%s has the steps %q", sinksDoc, steps)
	}
	step := func(i int) *process { return w.relay(exit.OK, strings.Fields(steps[i][1])[1:]...) }
	send()
	atLeast(t, "the receiver", old.out, 1)
	fresh := strings.TrimSpace(step(0).out.text())
	eventually(t, func() error { // A receiver with the old secret still accepts each event.
		send()
		atLeast(t, "the receiver with the old secret", old.out, sent)
		if !strings.Contains(p.err.text(), "signing keys reloaded") {
			return fmt.Errorf("relay does not notice after %d events", sent)
		}
		return nil
	})
	send()
	atLeast(t, "the receiver with the old secret", old.out, sent)
	_ = old.cmd.Process.Kill()
	<-old.done

	changed := receive(fresh)
	send()
	atLeast(t, "the receiver with the new secret", changed.out, 1)
	step(1)
	eventually(t, func() error {
		send()
		if n := strings.Count(p.err.text(), "signing keys reloaded"); n < 2 {
			return fmt.Errorf("noticed %d times", n)
		}
		return nil
	})
	send()
	holds(t, "stdout", p.out, 0, sent)
	atLeast(t, "the receivers", changed.out, sent-len(old.out.get()))
	if got := len(old.out.get()) + len(changed.out.get()); got != sent || len(w.deadLetters()) > 0 {
		t.Errorf("%d of %d events were taken; dead letters %+v", got, sent, w.deadLetters())
	}
	p.stop()
}
