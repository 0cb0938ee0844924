package chat_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/discord"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

var update = flag.Bool("update", false, "write the messages in testdata again")

// chatAlert makes an alert.
func chatAlert(i int, kind pipeline.AlertKind) pipeline.Record {
	a := pipeline.Alert{
		SpecVersion: pipeline.SpecVersion, ID: fmt.Sprintf("alt_%d", i), Source: "/relay", Type: pipeline.AlertType,
		Time: chatTime("a0", i), DataContentType: pipeline.DataContentType,
		Data: pipeline.AlertData{
			Sink: "overlay", Kind: kind, Reason: "post event trt_1 to https://bot.example: status 410 <@1> *gone*",
			Hint: "fix it, then run `relay sinks enable overlay`",
		},
	}
	line, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return pipeline.Record{ID: a.ID, Type: a.Type, Line: line}
}

// chatDigest makes a digest of treats of two days, the most of one title.
func chatDigest(title string) pipeline.Record {
	at := chatTime("a0", 0)
	data := pipeline.DigestData{
		Account: "mystream", Provider: "treatstream", Count: 90, First: at.Add(-30 * time.Hour), Last: at.Add(-time.Hour), Senders: 30, Anonymous: 2,
	}
	for i := range 10 {
		data.Top = append(data.Top, pipeline.TitleCount{Title: title, Count: 12 - i})
		data.From = append(data.From, "GenerousViewer *"+title)
	}
	return sinktest.RecordOfDigest(pipeline.Digest{
		SpecVersion: pipeline.SpecVersion, ID: "dig_1", Source: "/treatstream/mystream", Type: pipeline.DigestType, Time: at,
		DataContentType: pipeline.DataContentType, Origin: pipeline.OriginBackfill, Data: data,
	})
}

// oneDigest makes one of a single treat of which nothing is known.
func oneDigest() pipeline.Record {
	at := chatTime("a0", 0)
	return sinktest.RecordOfDigest(pipeline.Digest{
		SpecVersion: pipeline.SpecVersion, ID: "dig_2", Source: "/treatstream/mystream", Type: pipeline.DigestType, Time: at,
		DataContentType: pipeline.DataContentType, Origin: pipeline.OriginBackfill,
		Data: pipeline.DigestData{Account: "mystream", Provider: "treatstream", Count: 1, First: at, Last: at, Anonymous: 1},
	})
}

// samples are the records whose messages are in testdata.
func samples() map[string][]pipeline.Record {
	test := chatRecord("mystream0", 3, "QuietViewer", "Ice Cream", "")
	test.Origin = pipeline.OriginTest
	return map[string][]pipeline.Record{
		"treats": {
			chatRecord("mystream0", 1, "GenerousViewer", "Pizza", "enjoy! *you* earned it, @everyone"),
			chatRecord("mystream0", 2, "", "Espresso", "for the long night"),
			test,
		},
		"alerts": {
			chatAlert(1, pipeline.AlertDown), chatAlert(2, pipeline.AlertRecovered), chatAlert(3, pipeline.AlertDeadLetter),
			chatAlert(4, pipeline.AlertDisabled),
		},
		"digests": {chatDigest("Pizza"), oneDigest()},
	}
}

// TestChatMessages compares whole messages with testdata. Run it with -update to write them again, and look at them.
func TestChatMessages(t *testing.T) {
	var body []byte
	url := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) })
	discord := sinktest.DiscordConfig(t, url)
	discord.Username, discord.AvatarURL = "Treats", "https://cdn.example/relay.png"
	discord.Thumbnails = map[string]string{
		"pizza": "https://cdn.example/pizza.png", "ice": "https://cdn.example/ice.png", "ice cream": "https://cdn.example/icecream.png",
	}
	for typ, config := range map[string]sinks.Config{"discord": discord, "slack": sinktest.SlackConfig(t, url)} {
		sink := sinktest.OpenChat(t, config, nil)
		for name, records := range samples() {
			path := filepath.Join("testdata", typ+"_"+name+".json")
			if n, err := sink.Deliver(t.Context(), records); n != len(records) || err != nil {
				t.Fatalf("%s: %d, %v", path, n, err)
			}
			var got, want any
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if *update {
				text, err := json.MarshalIndent(got, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
}

// TestChatDigestHostile wants the strict services to take digests of what somebody writes who wants to break something, each in
// a message of its own.
func TestChatDigestHostile(t *testing.T) {
	discord, slack := &sinktest.FakeDiscord{Limit: 500, Window: time.Millisecond}, &sinktest.FakeSlack{}
	for typ, config := range map[string]sinks.Config{
		"discord": sinktest.DiscordConfig(t, sinktest.Receiver(t, discord.ServeHTTP)),
		"slack":   sinktest.SlackConfig(t, sinktest.Receiver(t, slack.ServeHTTP)),
	} {
		sink, dice := sinktest.OpenChat(t, config, nil), rand.New(rand.NewPCG(1, 2))
		for range 200 {
			text := hostile(dice)
			if n, err := sink.Deliver(t.Context(), []pipeline.Record{chatDigest(text), chatRecord("a0", 1, "Ann", "Pizza", "")}); n != 1 || err != nil {
				t.Fatalf("%s: Deliver of %q took %d: %v", typ, text, n, err)
			}
		}
	}
	discord.Report(t)
	slack.Report(t)
}

// TestChatAlertsStayApart checks that no message has both treats and alerts, and that the strict services accept both.
func TestChatAlertsStayApart(t *testing.T) {
	records := append(samples()["treats"], samples()["alerts"]...)
	records = append(records, chatRecord("a0", 9, "GenerousViewer", "Pizza", "enjoy!"))
	discord, slack := &sinktest.FakeDiscord{Limit: 50, Window: 10 * time.Millisecond}, &sinktest.FakeSlack{}
	for typ, config := range map[string]sinks.Config{
		"discord": sinktest.DiscordConfig(t, sinktest.Receiver(t, discord.ServeHTTP)),
		"slack":   sinktest.SlackConfig(t, sinktest.Receiver(t, slack.ServeHTTP)),
	} {
		sink, rest := sinktest.OpenChat(t, config, nil), records
		for _, want := range []int{3, 4, 1} {
			n, err := sink.Deliver(t.Context(), rest)
			if n != want || err != nil {
				t.Fatalf("%s: Deliver took %d, want %d: %v", typ, n, want, err)
			}
			rest = rest[n:]
		}
	}
	discord.Report(t)
	slack.Report(t)
}

func TestChatStatus(t *testing.T) {
	for _, c := range []struct {
		typ    string
		status int
		body   string
		want   string
	}{
		{"discord", 200, "{}", "accepted"},
		{"discord", 204, "", "accepted"},
		{"discord", 302, "", "unavailable"},
		{"discord", 307, "", "unavailable"},
		{"discord", 400, `{"message":"Invalid Form Body"}`, "permanent"},
		{"discord", 400, `{"username":["Username cannot contain \"discord\""]}`, "unavailable"},
		{"discord", 400, `{"embeds":["0"]}`, "permanent"},
		{"discord", 400, `{"message":"Message was blocked","code":240000}`, "permanent"},
		{"discord", 401, `{"message":"Invalid Webhook Token","code":50027}`, "gone"},
		{"discord", 401, "<html>", "unavailable"},
		{"discord", 404, "<html>", "unavailable"},
		{"discord", 404, `{"message":"404: Not Found","code":0}`, "unavailable"},
		{"discord", 404, `{"message":"Unknown Channel","code":10003}`, "gone"},
		{"discord", 404, `{"message":"Unknown Webhook","code":10015}`, "gone"},
		{"discord", 405, "", "unavailable"},
		{"discord", 408, "", "retry"},
		{"discord", 410, "", "gone"},
		{"discord", 413, "", "permanent"},
		{"discord", 429, "", "unavailable"},
		{"discord", 500, "", "retry"},
		{"discord", 502, "<html>", "retry"},
		{"discord", 503, "", "unavailable"},
		{"discord", 504, "", "retry"},
		{"slack", 200, "ok", "accepted"},
		{"slack", 302, "", "unavailable"},
		{"slack", 400, "invalid_payload", "permanent"},
		{"slack", 400, "invalid_blocks", "permanent"},
		{"slack", 400, "no_text", "permanent"},
		{"slack", 401, "", "unavailable"},
		{"slack", 403, "invalid_token", "gone"},
		{"slack", 403, "no_text", "permanent"},
		{"slack", 404, "user_not_found", "gone"},
		{"slack", 404, "<html>", "unavailable"},
		{"slack", 404, "no_service", "gone"},
		{"slack", 404, "no_active_hooks\n", "gone"},
		{"slack", 404, "channel_not_found", "gone"},
		{"slack", 404, "no_team", "gone"},
		{"slack", 410, "channel_is_archived", "gone"},
		{"slack", 429, "", "unavailable"},
		{"slack", 500, "rollup_error", "retry"},
		{"slack", 503, "", "unavailable"},
	} {
		t.Run(fmt.Sprintf("%s %d %s", c.typ, c.status, c.body), func(t *testing.T) {
			var hits atomic.Int32
			there := sinktest.Receiver(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
			url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.status/100 == 3 {
					w.Header().Set("Location", there)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			var attempts []pipeline.Attempt
			n, err := chatSink(t, c.typ, url, chat.DefaultTimeout, func(a pipeline.Attempt) { attempts = append(attempts, a) }).Deliver(t.Context(), sinktest.Plain("a0", 1))
			if got := chatVerdict(err); got != c.want || (n == 1) != (err == nil) {
				t.Errorf("%s, want %s: %d, %v", got, c.want, n, err)
			}
			if err != nil && (!strings.Contains(err.Error(), fmt.Sprint(c.status)) || !strings.Contains(err.Error(), strings.TrimSpace(c.body)) && c.status != 429) {
				t.Errorf("the answer is missing in %q", err)
			}
			if len(attempts) != 1 || attempts[0].Status != c.status || attempts[0].Answer != strings.TrimSpace(c.body) ||
				(attempts[0].Error == "") != (err == nil) {
				t.Errorf("attempts: %+v", attempts)
			}
			if hits.Load() > 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func chatSink(t *testing.T, typ, url string, timeout time.Duration, attempt func(pipeline.Attempt)) pipeline.Sink {
	t.Helper()
	if typ == "slack" {
		config := sinktest.SlackConfig(t, url)
		config.Timeout = timeout
		return sinktest.OpenChat(t, config, attempt)
	}
	config := sinktest.DiscordConfig(t, url)
	config.Timeout = timeout
	return sinktest.OpenChat(t, config, attempt)
}

// chatVerdict names what an error asks of the lane.
func chatVerdict(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case pipeline.IsPermanent(err):
		return "permanent"
	case pipeline.IsGone(err):
		return "gone"
	case pipeline.IsUnavailable(err):
		return "unavailable"
	}
	return "retry"
}

// TestChatHidesSecrets uses a service that sends back everything it knows.
func TestChatHidesSecrets(t *testing.T) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			all, _ := httputil.DumpRequest(r, false)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "%s\r\n%s \x1b[31m\x00", strings.ReplaceAll(r.URL.Path, "/", " "), all)
		}
	}
	deaf := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then does the server notice that the sender leaves.
		<-r.Context().Done()
	})
	for _, typ := range []string{"discord", "slack"} {
		for _, base := range []string{
			sinktest.Receiver(t, echo(400)), sinktest.Receiver(t, echo(403)), sinktest.Receiver(t, echo(404)), sinktest.Receiver(t, echo(429)), sinktest.Receiver(t, echo(503)),
			"http://" + sinktest.FreeAddress(t), "https" + sinktest.Receiver(t, echo(200))[4:], deaf,
		} {
			var attempts []pipeline.Attempt
			timeout := chat.DefaultTimeout
			if base == deaf {
				timeout = 200 * time.Millisecond
			}
			n, err := chatSink(t, typ, base, timeout, func(a pipeline.Attempt) { attempts = append(attempts, a) }).Deliver(t.Context(), sinktest.Plain("a0", 1))
			if n != 0 || err == nil {
				t.Errorf("%s: accepted", base)
				continue
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", attempts)} {
				if strings.Contains(strings.ToLower(text), "planted") || strings.Contains(text, "123456789012345678") || strings.ContainsAny(text, "\r\n\x1b\x00") {
					t.Errorf("a secret or a control character shows in %q", text)
				}
			}
			if !strings.Contains(err.Error(), base) || len(attempts) != 1 || attempts[0].Endpoint != base {
				t.Errorf("%s is not named in %q or %+v", base, err, attempts)
			}
			if base == deaf && !strings.Contains(err.Error(), "no complete answer within 200ms") {
				t.Errorf("the reason is missing in %q", err)
			}
		}
	}
}

// TestChatReadsLittle uses a service with an endless response.
func TestChatReadsLittle(t *testing.T) {
	zeros := make([]byte, 1<<16)
	for _, status := range []int{200, 400} {
		stopped := make(chan struct{})
		url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			defer close(stopped)
			w.WriteHeader(status)
			for {
				if _, err := w.Write(zeros); err != nil {
					return
				}
			}
		})
		n, err := chatSink(t, "discord", url, chat.DefaultTimeout, nil).Deliver(t.Context(), sinktest.Plain("a0", 1))
		if (n == 1) != (status == 200) || (err == nil) != (status == 200) {
			t.Errorf("status %d: %d, %v", status, n, err)
		}
		select {
		case <-stopped:
		case <-time.After(20 * time.Second):
			t.Fatal("the answer is read for ever")
		}
	}
}

// TestDiscordRequest checks that the URL has the thread and the API version, whichever was configured.
func TestDiscordRequest(t *testing.T) {
	var got *http.Request
	base := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(base+"/api/v6"+sinktest.DiscordPath+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*discord.Config)
		want   string
	}{
		"plain":   {func(*discord.Config) {}, "/api/v10" + sinktest.DiscordPath + "?wait=true"},
		"thread":  {func(c *discord.Config) { c.ThreadID = "42" }, "/api/v10" + sinktest.DiscordPath + "?thread_id=42&wait=true"},
		"in url":  {func(c *discord.Config) { c.URL = secret.New(c.URL.Reveal() + "?thread_id=7") }, "/api/v10" + sinktest.DiscordPath + "?thread_id=7&wait=true"},
		"file":    {func(c *discord.Config) { c.URL, c.URLFile = secret.String{}, file }, "/api/v10" + sinktest.DiscordPath + "?wait=true"},
		"a proxy": {func(c *discord.Config) { c.URL = secret.New(base + "/hook") }, "/hook?wait=true"},
	} {
		t.Run(name, func(t *testing.T) {
			config := sinktest.DiscordConfig(t, base)
			c.change(config)
			if n, err := sinktest.OpenChat(t, config, nil).Deliver(t.Context(), sinktest.Plain("a0", 1)); n != 1 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			if got.RequestURI != c.want || got.Header.Get("User-Agent") != "relay/test" {
				t.Errorf("request %s by %s, want %s", got.RequestURI, got.Header.Get("User-Agent"), c.want)
			}
		})
	}
}
