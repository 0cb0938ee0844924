package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
)

const plantedToken = "planted-collector-token"

func (w *world) startTracing(env []string, args ...string) *process {
	w.t.Helper()
	args = append(append(args, w.args()...), "--log-level", "debug")
	return startRelay(w.t, append(w.env(), env...), args...)
}

// checkPrivacy checks that neither the spans nor the log contain a viewer's text, a URL or a secret.
func (w *world) checkPrivacy(c *collector, logs ...string) {
	w.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range []string{"Viewer", "Pizza", "enjoy", "no such dish", "http://", w.bot.server.URL, simulator.DefaultClientSecret, webhookSecret, plantedToken} {
		if bytes.Contains(c.raw.Bytes(), []byte(text)) {
			w.t.Errorf("the collector was sent %q", text)
		}
	}
	for _, log := range logs {
		if strings.Contains(log, plantedToken) {
			w.t.Errorf("the log has the collector's token:\n%s", log)
		}
	}
}

// Each treat is one trace: a root, and a span for each sink, with an error where the sink refused it.
func TestTraces(t *testing.T) {
	const n = 300 // more than one batch
	w, c := newWorld(t, simulatedRealtime), newCollector(t)
	w.login()
	refused := title(7)
	w.bot.refuses(refused)
	p := w.startTracing(c.env("OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test"))
	w.connected()
	w.live.emit(0, n)
	holds(t, "stdout", p.out, 0, n)
	eventually(t, func() error {
		if got := len(w.bot.get()); got != n-1 {
			return fmt.Errorf("%d at the webhook", got)
		}
		return nil
	})
	p.stop() // flushes the remaining spans
	for _, e := range events(t, p.out.get()) {
		for sink, spans := range checkTrace(t, c, e) {
			want := tracepb.Status_STATUS_CODE_OK
			kind := ""
			if sink == "bot" && *e.Data.Title == refused {
				want, kind = tracepb.Status_STATUS_CODE_ERROR, "permanent"
			}
			if want == tracepb.Status_STATUS_CODE_OK && len(spans) != 1 {
				t.Errorf("%d deliveries to %s", len(spans), sink)
			}
			for _, s := range spans { // refused events are tried again
				if s.GetStatus().GetCode() != want || attributesOf(s.GetAttributes())["error.type"] != kind {
					t.Errorf("delivery to %s: %v", sink, s)
				}
			}
		}
	}
	if got := c.traces(); got != n {
		t.Errorf("%d traces, want %d", got, n)
	}
	if !c.services["relay"] || len(c.services) != 1 {
		t.Errorf("services %v", c.services)
	}
	w.checkPrivacy(c, p.err.text())
}

// Deliveries after a kill belong to the trace of their treat. A sampling ratio selects the same treats in both runs.
func TestTracesAfterKill(t *testing.T) {
	const n = 40
	w, c := newWorld(t, simulatedRealtime), newCollector(t)
	w.login()
	hold := make(chan struct{})
	ep := newEndpoint(t, func(_ http.ResponseWriter, req *http.Request, _ pipeline.Event) {
		select {
		case <-hold:
		case <-req.Context().Done():
		}
	})
	w.configure(func(s *settings) { s.Sinks["bot"].URL = ep.server.URL })
	env := c.env("OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.5", "OTEL_SERVICE_NAME=treats")
	p := w.startTracing(env)
	w.connected()
	w.live.emit(0, n)
	holds(t, "stdout", p.out, 0, n)
	all := events(t, p.out.get())
	sampled := slices.DeleteFunc(slices.Clone(all), func(e pipeline.Event) bool {
		sum := sha256.Sum256([]byte(e.ID))
		return sum[8] >= 0x80 // the SDK reads the second half of a trace id as a number
	})
	if len(sampled) == 0 || len(sampled) == n {
		t.Fatalf("%d of %d are sampled", len(sampled), n)
	}
	eventually(t, func() error {
		for _, e := range sampled {
			if got := c.of(e.ID); len(got) != 3 {
				return fmt.Errorf("%d spans of %s", len(got), e.ID)
			}
		}
		return nil
	})
	p.signal(syscall.SIGKILL)
	p.exit()
	close(hold)
	p = w.startTracing(env)
	eventually(t, func() error {
		if got := len(uniqueTitles(t, ep.got())); got < n {
			return fmt.Errorf("%d at the webhook", got)
		}
		return nil
	})
	p.stop()
	for _, e := range sampled {
		if bot := checkTrace(t, c, e)["bot"]; len(bot) != 1 || bot[0].GetStatus().GetCode() != tracepb.Status_STATUS_CODE_OK {
			t.Errorf("deliveries of %s to the webhook: %v", e.ID, bot)
		}
	}
	if got := c.traces(); got != len(sampled) {
		t.Errorf("%d traces, want %d", got, len(sampled))
	}
	if !c.services["treats"] || len(c.services) != 1 {
		t.Errorf("services %v", c.services)
	}
	w.checkPrivacy(c)
}

// A collector that is away, or does not answer, concerns no treat, and is said once. What the OpenTelemetry packages would
// write of settings that do not do has no secret.
func TestTracesCollectorAway(t *testing.T) {
	const n = 30
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	refusing := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "who is "+plantedToken, http.StatusUnauthorized)
	}))
	t.Cleanup(refusing.Close)
	for name, endpoint := range map[string]string{
		"connect: connection refused":          fmt.Sprintf("http://127.0.0.1:%d", freePort(t)),
		"the time to send the rest is up":      hanging.URL,
		"answers with status 401 Unauthorized": refusing.URL,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			w.login()
			p := w.startTracing([]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint + "/" + plantedToken, "OTEL_EXPORTER_OTLP_HEADERS=" + plantedToken,
				"OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=2",
			})
			w.connected()
			for i := range n {
				w.live.emit(i, i+1)
				holds(t, "stdout", p.out, 0, i+1)
			}
			p.stop()
			said := 0
			for _, line := range p.err.get() {
				if !json.Valid([]byte(line)) && !strings.HasPrefix(line, "Overlay backends connect") && !strings.HasPrefix(line, "This is shown once") {
					t.Errorf("not of relay's log: %s", line)
				}
				if strings.Contains(line, "traces") {
					said++
				}
			}
			if said != 1 || !strings.Contains(p.err.text(), name) {
				t.Errorf("traces are mentioned %d times:\n%s", said, p.err.text())
			}
			if !strings.Contains(p.err.text(), "OTEL_* cannot be read") {
				t.Errorf("nothing is said of the wrong headers:\n%s", p.err.text())
			}
			if strings.Contains(p.err.text(), plantedToken) {
				t.Errorf("a secret is in the log:\n%s", p.err.text())
			}
		})
	}
}

// When the collector is back it is said, and a test treat has a trace too.
func TestTracesCollectorBack(t *testing.T) {
	w, c := newWorld(t, simulatedRealtime), newCollector(t)
	w.login()
	c.away.Store(true)
	env := c.env("OTEL_BSP_SCHEDULE_DELAY=20")
	p := w.startTracing(env)
	w.connected()
	w.live.emit(0, 1)
	p.err.find(t, "the collector answers with status 404 Not Found")
	holds(t, "webhook", w.bot.lines, 0, 1)
	c.away.Store(false)
	trigger := w.startTracing(env, "trigger")
	if code := trigger.exit(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, trigger.err.text())
	}
	p.err.find(t, "traces are sent again")
	p.stop()
	all := events(t, trigger.out.get())
	if spans := c.of(all[0].ID); len(all) != 1 || len(spans) != 4 || len(spans["treat"]) != 1 ||
		attributesOf(spans["treat"][0].GetAttributes())["relay.origin"] != "test" {
		t.Errorf("spans of a test treat: %v", spans)
	}
}

// Without an endpoint, or where the variables say so, nothing is sent; if that may be a mistake, it is said.
func TestTracesOff(t *testing.T) {
	const endpoint, traces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	c := newCollector(t)
	for _, tt := range []struct {
		env  map[string]string
		want string // in the log
	}{
		{map[string]string{}, ""},
		{map[string]string{endpoint: " ", "OTEL_SERVICE_NAME": "relay", "OTEL_TRACES_EXPORTER": "otlp"}, ""},
		{map[string]string{endpoint: c.server.URL, "OTEL_SDK_DISABLED": "TRUE"}, ""},
		{map[string]string{endpoint: c.server.URL, "OTEL_TRACES_EXPORTER": "none"}, ""},
		{map[string]string{endpoint: c.server.URL, "OTEL_TRACES_EXPORTER": "zipkin"}, "relay knows otlp and none"},
		{map[string]string{endpoint: c.server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is"},
		{map[string]string{endpoint: c.server.URL, traces: plantedToken + ":4318"}, traces + " is not a URL"},
	} {
		var log bytes.Buffer
		got, err := telemetry.OpenTraces(t.Context(), func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }, zerolog.New(&log))
		if got != nil || err != nil || (tt.want == "") != (log.Len() == 0) || !strings.Contains(log.String(), tt.want) ||
			strings.Contains(log.String(), plantedToken) {
			t.Errorf("%v: %v, %v, %s", tt.env, got, err, log.String())
		}
	}

	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.startTracing(c.env("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"))
	w.connected()
	w.live.emit(0, 1)
	holds(t, "stdout", p.out, 0, 1)
	p.err.find(t, "no traces are sent")
	p.stop()
	if got := c.requests.Load(); got > 0 {
		t.Errorf("%d requests", got)
	}
}
