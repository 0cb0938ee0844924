package sinks_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// quick is a lane that waits for moments where others wait for seconds.
var quick = delivery.LaneConfig{
	Retry: schedule.Policy{Initial: 20 * time.Millisecond, Max: 100 * time.Millisecond},
	Probe: breaker.Policy{Initial: 10 * time.Millisecond, Max: 50 * time.Millisecond},
}

// picky is a receiver that refuses some events with a status, and keeps the messages of the others in their order.
type picky struct {
	refuse func(message string) (status int) // 0: it is accepted

	mu       sync.Mutex
	got      []string
	requests int
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var e pipeline.Event
	if err != nil || json.Unmarshal(body, &e) != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if status := p.refuse(*e.Data.Message); status != 0 {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		return
	}
	p.got = append(p.got, *e.Data.Message)
}

func (p *picky) has(t *testing.T, want []string) {
	t.Helper()
	stacktest.Eventually(t, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !slices.Equal(p.got, want) {
			return fmt.Errorf("%d requests, accepted %q", p.requests, p.got)
		}
		return nil
	})
}

func messages(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("treat %d", i))
	}
	return all
}

// letters are the dead letters.
func (r *laneRun) letters() (all []journal.DeadLetter) {
	r.t.Helper()
	for letter, err := range r.Journal.DeadLetters(r.t.Context(), journal.DeadLetterFilter{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, letter)
	}
	return all
}

// noLetters checks that there is no dead letter.
func (r *laneRun) noLetters() {
	r.t.Helper()
	if got := r.letters(); len(got) > 0 {
		r.t.Errorf("%d dead letters", len(got))
	}
}

// down waits until the lane says that the sink is down, with why.
func (r *laneRun) down(why string) {
	r.t.Helper()
	stacktest.Eventually(r.t, func() error {
		if s := r.lane.Status().State; s.DownSince.IsZero() || !strings.Contains(s.Reason, why) {
			return fmt.Errorf("state %+v, want it to be down: %s", s, why)
		}
		return nil
	})
}

// A receiver that refuses everything for a moment, however it says so, costs no treat and not the order.
func TestWebhookRefusesForAMoment(t *testing.T) {
	for status, why := range map[int]string{
		301: "set url to the address", 302: "set url to the address", 307: "set url to the address", 308: "set url to the address",
		400: "status 400", 401: "status 401: the receiver refuses the signature: check secret", 403: "check url, secret and headers", 404: "check url",
		405: "check url and method", 407: "check the user and password in proxy", 409: "status 409", 415: "check body and headers", 421: "check url",
		422: "status 422", 423: "unlock it",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var refusing atomic.Bool
			refusing.Store(true)
			fake := &picky{refuse: func(string) int {
				if refusing.Load() {
					return status
				}
				return 0
			}}
			run := runLane(t, sinktest.WebhookConfig(t, sinktest.Receiver(t, fake.ServeHTTP), nil), quick, 50, "mystream")
			run.down(why)
			refusing.Store(false)
			fake.has(t, messages(50))
			run.noLetters()
		})
	}
}

// The same of a proxy before the receiver.
func TestProxyRefusesForAMoment(t *testing.T) {
	var refusing atomic.Bool
	refusing.Store(true)
	fake := &picky{refuse: func(string) int { return 0 }}
	proxy := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if refusing.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Host = r.In.Host }}).ServeHTTP(w, r)
	})
	config := sinktest.WebhookConfig(t, sinktest.Receiver(t, fake.ServeHTTP), func(c *webhook.Config) { c.Proxy = secret.New(proxy) })
	run := runLane(t, config, quick, 50, "mystream")
	run.down("a proxy or firewall before it")
	refusing.Store(false)
	fake.has(t, messages(50))
	run.noLetters()
}

// A receiver with another secret is down with that cause, which the operator is alerted of, and gets every treat when it has the right one.
func TestWebhookWrongSecret(t *testing.T) {
	var right atomic.Bool
	fake := &picky{refuse: func(string) int {
		if right.Load() {
			return 0
		}
		return http.StatusUnauthorized
	}}
	run := runLane(t, sinktest.WebhookConfig(t, sinktest.Receiver(t, fake.ServeHTTP), nil), quick, 1, "mystream") // one is enough to see it
	select {
	case a := <-run.alerts:
		if a.Kind != pipeline.AlertDown || !strings.Contains(a.Reason, "status 401: the receiver refuses the signature: check secret") {
			t.Errorf("alert %+v", a)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody is alerted")
	}
	right.Store(true)
	fake.has(t, messages(1))
	run.noLetters()
}

// An event that is refused alone is a dead letter after five attempts, and those behind it pass: also when several are, one after the other.
func TestWebhookRefusesSome(t *testing.T) {
	for status, bad := range map[int][]string{400: {"treat 7"}, 404: {"treat 0"}, 413: {"treat 3", "treat 4", "treat 5"}, 403: {"treat 10", "treat 20"}} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			fake := &picky{refuse: func(message string) int {
				if slices.Contains(bad, message) {
					return status
				}
				return 0
			}}
			run := runLane(t, sinktest.WebhookConfig(t, sinktest.Receiver(t, fake.ServeHTTP), nil), quick, 30, "mystream")
			stacktest.Eventually(t, func() error {
				fake.mu.Lock()
				defer fake.mu.Unlock()
				got := slices.Concat(fake.got, bad)
				slices.Sort(got)
				if want := slices.Sorted(slices.Values(messages(30))); !slices.Equal(got, want) {
					return fmt.Errorf("accepted %q", fake.got)
				}
				return nil
			})
			stacktest.Eventually(t, func() error {
				letters := run.letters()
				if len(letters) != len(bad) {
					return fmt.Errorf("%d dead letters", len(letters))
				}
				for _, letter := range letters {
					if letter.Attempts < 5 || letter.Attempts > 6 || !strings.Contains(letter.Reason, fmt.Sprint("status ", status)) {
						t.Errorf("dead after %d attempts: %s", letter.Attempts, letter.Reason)
					}
				}
				return nil
			})
		})
	}
}

// One refusal again and again is the sink's: 50 treats make few requests, none is a dead letter, and all go out when the sink is right.
func TestChatRefusesAllThroughTheLane(t *testing.T) {
	for _, c := range []struct {
		typ    string
		status int
		body   string
	}{
		{"discord", 400, `{"message":"Webhooks posted to forum channels must have a thread_name or thread_id","code":220001}`},
		{"discord", 400, `{"message":"Thread is archived","code":50083}`},
		{"discord", 400, `{"message":"Invalid Form Body","code":50035,"errors":{"username":{"_errors":[{"code":"X"}]}}}`},
		{"discord", 400, `{"message":"Invalid Form Body","code":50035,"errors":{"embeds":{"0":{"description":{"_errors":[{"code":"X"}]}}}}}`},
		{"slack", 400, "invalid_payload"},
		{"slack", 400, "invalid_blocks"},
		{"slack", 400, "no_text"},
		{"slack", 404, "<html>not found"},
	} {
		t.Run(c.typ+" "+c.body, func(t *testing.T) {
			var requests atomic.Int32
			var right atomic.Bool
			var fine http.Handler = &sinktest.FakeDiscord{Limit: 500, Window: time.Second}
			if c.typ == "slack" {
				fine = new(sinktest.FakeSlack)
			}
			url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
				if right.Load() {
					fine.ServeHTTP(w, r)
					return
				}
				requests.Add(1)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			var config sinks.Config = sinktest.DiscordConfig(t, url)
			if c.typ == "slack" {
				config = sinktest.SlackConfig(t, url)
			}
			how := quick
			how.Probe = breaker.Policy{Initial: 100 * time.Millisecond, Max: time.Second}
			run := runLane(t, config, how, 50, "mystream")
			select {
			case a := <-run.alerts:
				if a.Kind != pipeline.AlertDown || !strings.Contains(a.Reason, fmt.Sprint("status ", c.status)) {
					t.Errorf("alert %+v", a)
				}
			case <-time.After(time.Minute):
				t.Fatal("nobody is alerted")
			}
			if n := requests.Load(); n > 30 {
				t.Errorf("%d requests", n)
			}
			right.Store(true)
			stacktest.Eventually(t, func() error {
				if n := run.lane.Status().Delivered; n != 50 {
					return fmt.Errorf("%d delivered", n)
				}
				return nil
			})
			run.noLetters()
		})
	}
}

// A stream that takes no treat for its max_msg_size is down with that cause, and has them all when it takes more.
func TestNATSRefusesAllThroughTheLane(t *testing.T) {
	p := sinktest.Running(t, "")
	_, js := sinktest.Client(t, p)
	limited := jetstream.StreamConfig{Name: "LIMITED", Subjects: []string{"limited.>"}, MaxMsgSize: 100}
	if _, err := js.CreateStream(t.Context(), limited); err != nil {
		t.Fatal(err)
	}
	config := sinktest.NATSConfig(t, p.URL())
	config.Stream, config.Subject = "LIMITED", "limited.{account}"
	run := runLane(t, config, quick, 50, "mystream")
	run.down("raise its max_msg_size")
	limited.MaxMsgSize = 0
	if _, err := js.UpdateStream(t.Context(), limited); err != nil {
		t.Fatal(err)
	}
	stacktest.Eventually(t, func() error {
		if n := run.lane.Status().Delivered; n != 50 {
			return fmt.Errorf("%d delivered", n)
		}
		return nil
	})
	run.noLetters()
}
