package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
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
	"github.com/treatrelay/relay/pipeline"
)

// The programs in examples run against the built relay.

// markedBlock returns the fenced block of a document under <!-- mark -->.
func markedBlock(t *testing.T, path, mark string) string {
	t.Helper()
	block := regexp.MustCompile("(?s)<!-- " + regexp.QuoteMeta(mark) + " -->\n```[a-z]+\n(.*?\n)```\n").FindStringSubmatch(doctest.Read(t, path))
	if block == nil {
		t.Fatalf("%s has no fenced block under <!-- %s -->", path, mark)
	}
	return block[1]
}

// goExample builds a program in examples, and returns its command line.
func goExample(t *testing.T, name string) []string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, "../../examples/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build examples/%s: %v\n%s", name, err, out)
	}
	return []string{binary}
}

// sentence is the line that the programs print for an event.
func sentence(e pipeline.Event) string {
	sender := "Somebody"
	if e.Data.Sender != nil {
		sender = *e.Data.Sender
	}
	return fmt.Sprintf("%s %s sent %s", e.ID, sender, *e.Data.Title)
}

// The subscribers get every treat in order; after a kill they resume where they stopped.
func TestExampleSubscribers(t *testing.T) {
	for name, program := range map[string]func(t *testing.T) []string{
		"Go":   func(t *testing.T) []string { return goExample(t, "subscriber") },
		"Node": func(t *testing.T) []string { return nodeProgram(t, "examples", "subscriber", "alerts.mjs") },
	} {
		t.Run(name, func(t *testing.T) {
			command := program(t)
			relay := startRelay(t, nil, "--simulate", "--sink", "nats", "--sink", "stdout", "--rate", "20")
			_, address, _ := strings.Cut(relay.err.find(t, "Overlay backends connect to "), "connect to ")
			relay.err.find(t, "relay runs") // and with it the stream exists
			env := []string{"NATS_URL=" + address}

			first := startProgram(t, command, env)
			atLeast(t, "the first run", first.out, 5)
			_ = first.cmd.Process.Kill()
			<-first.done
			got := first.out.get()
			atLeast(t, "relay", relay.out, len(relay.out.get())+10)
			second := startProgram(t, command, env)
			got = append(got, atLeast(t, "the second run", second.out, 15)...)
			got = slices.Compact(got) // the last before the kill may come again

			atLeast(t, "relay", relay.out, len(got)) // stdout may be behind
			eventually(t, func() error {
				var all []string
				for _, e := range events(t, relay.out.get()) {
					all = append(all, sentence(e))
				}
				begin := slices.Index(all, got[0])
				if begin < 0 || len(all) < begin+len(got) {
					return fmt.Errorf("stdout does not have what the program got: %q", got)
				}
				if want := all[begin : begin+len(got)]; !slices.Equal(got, want) {
					t.Fatalf("the program got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				return nil
			})
			relay.stop()
		})
	}
}

// The receivers accept each event that relay signed once, and refuse everything else.
func TestExampleReceivers(t *testing.T) {
	var config string
	for _, block := range doctest.Fenced(doctest.Read(t, "docs/quickstart.md"), "yaml") {
		if strings.Contains(block, "type: webhook") {
			config = block
		}
	}
	for name, program := range map[string]func(t *testing.T) []string{
		"Go":   func(t *testing.T) []string { return goExample(t, "webhook") },
		"Node": func(t *testing.T) []string { return nodeProgram(t, "examples", "webhook", "bot.mjs") },
	} {
		t.Run(name, func(t *testing.T) {
			key := make([]byte, 32)
			_, _ = rand.Read(key)
			env := []string{"WEBHOOK_SECRET=whsec_" + base64.StdEncoding.EncodeToString(key), "LISTEN=127.0.0.1:0"}
			bot := startProgram(t, program(t), env)
			_, address, _ := strings.Cut(bot.err.find(t, "listening on "), "listening on ")
			file := filepath.Join(t.TempDir(), "bot.yaml")
			text := replaceOnce(t, config, "http://127.0.0.1:8080/treats", address) + "\nhttp: {listen: '127.0.0.1:0'}\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			relay := startRelay(t, env, "--simulate", "--config", file, "--sink", "bot", "--sink", "stdout", "--rate", "20")
			atLeast(t, "the receiver", bot.out, 10)
			relay.stop()
			var want []string
			for _, e := range events(t, relay.out.get()) {
				want = append(want, sentence(e))
			}
			if got := bot.out.get(); !slices.Equal(got, want) {
				t.Errorf("the receiver got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if strings.Contains(relay.err.text(), "given up") {
				t.Errorf("relay gave up an event:\n%s", relay.err.text())
			}
			testForgeries(t, bot, address, key)
		})
	}
}

func testForgeries(t *testing.T, bot *process, address string, key []byte) {
	t.Helper()
	const body = `{"data":{"sender":"Mallory","title":"Forged fries"}}`
	wrong := bytes.Repeat([]byte{7}, 32)
	sign := func(key []byte, id string, at time.Time, body string) string {
		wh, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := wh.Sign(id, at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	now := time.Now()
	right := sign(key, "trt_1", now, body)
	for _, c := range []struct {
		name, id, signature string
		at                  time.Time
		status              int
	}{
		{"signed with another key", "trt_1", sign(wrong, "trt_1", now, body), now, 401},
		{"signed with an empty key", "trt_1", sign(nil, "trt_1", now, body), now, 401},
		{"another body", "trt_1", sign(key, "trt_1", now, body+" "), now, 401},
		{"another id", "trt_2", right, now, 401},
		{"another time", "trt_1", right, now.Add(time.Minute), 401},
		{"too old", "trt_1", sign(key, "trt_1", now.Add(-6*time.Minute), body), now.Add(-6 * time.Minute), 401},
		{"too new", "trt_1", sign(key, "trt_1", now.Add(6*time.Minute), body), now.Add(6 * time.Minute), 401},
		{"another version", "trt_1", "v2" + strings.TrimPrefix(right, "v1"), now, 401},
		{"a cut signature", "trt_1", right[:20], now, 401},
		{"no signature", "trt_1", "", now, 401},
		{"the right one", "trt_1", right, now, 204},
		{"the same again", "trt_1", right, now, 204},
		{"two signatures", "trt_1", sign(wrong, "trt_1", now, body) + " " + right, now, 204},
	} {
		before := len(bot.out.get())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", c.id)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(c.at.Unix(), 10))
		if c.signature != "" {
			req.Header.Set("webhook-signature", c.signature)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.name, resp.StatusCode, c.status)
		}
		if c.name == "the right one" {
			atLeast(t, "the receiver", bot.out, before+1)
		} else if got := bot.out.get()[before:]; len(got) > 0 {
			t.Errorf("%s: the receiver acted on it: %q", c.name, got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
