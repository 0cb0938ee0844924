package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/treatrelay/relay/pipeline"
)

// collector is a receiver of OTLP over HTTP.
type collector struct {
	server   *httptest.Server
	requests atomic.Int64
	away     atomic.Bool // it is another server that has the address

	mu       sync.Mutex
	raw      bytes.Buffer
	spans    []*tracepb.Span
	services map[string]bool
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{services: make(map[string]bool)}
	c.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		c.requests.Add(1)
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // relay was killed in the middle
		}
		if c.away.Load() {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		if req.URL.Path != "/v1/traces" || req.Header.Get("Authorization") != "Bearer "+plantedToken {
			t.Errorf("%s %s with the authorization %q", req.Method, req.URL.Path, req.Header.Get("Authorization"))
		}
		var sent collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &sent); err != nil {
			t.Errorf("not OTLP: %v", err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, r := range sent.GetResourceSpans() {
			c.services[attributesOf(r.GetResource().GetAttributes())["service.name"]] = true
			for _, s := range r.GetScopeSpans() {
				c.spans = append(c.spans, s.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.server.Close)
	return c
}

func (c *collector) env(more ...string) []string {
	return append([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.server.URL, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20" + plantedToken,
	}, more...)
}

// of returns the spans of an event's trace, by name.
func (c *collector) of(id string) map[string][]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, all := sha256.Sum256([]byte(id)), make(map[string][]*tracepb.Span)
	for _, s := range c.spans {
		if bytes.Equal(s.GetTraceId(), sum[:16]) {
			all[s.GetName()] = append(all[s.GetName()], s)
		}
	}
	return all
}

func (c *collector) traces() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make(map[string]bool)
	for _, s := range c.spans {
		ids[string(s.GetTraceId())] = true
	}
	return len(ids)
}

func attributesOf(all []*commonpb.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, a := range all {
		if m[a.GetKey()] = a.GetValue().GetStringValue(); m[a.GetKey()] == "" {
			m[a.GetKey()] = fmt.Sprint(a.GetValue().GetIntValue())
		}
	}
	return m
}

// checkTrace checks that an event's trace has one root, which its deliveries hang on, and returns the deliveries by sink.
func checkTrace(t *testing.T, c *collector, e pipeline.Event) map[string][]*tracepb.Span {
	t.Helper()
	all := c.of(e.ID)
	roots := all["treat"]
	if len(roots) != 1 {
		t.Fatalf("%d roots of %s", len(roots), e.ID)
	}
	root, sum := roots[0], sha256.Sum256([]byte(e.ID))
	if !bytes.Equal(root.GetSpanId(), sum[16:24]) || len(root.GetParentSpanId()) > 0 || root.GetEndTimeUnixNano() < root.GetStartTimeUnixNano() ||
		root.GetStartTimeUnixNano() != uint64(e.RecordedTime.UnixNano()) {
		t.Errorf("root %v", root)
	}
	want := map[string]string{"relay.event.id": e.ID, "relay.account": "mystream", "relay.provider": "treatstream", "relay.origin": "live"}
	if diff := cmp.Diff(want, attributesOf(root.GetAttributes())); diff != "" {
		t.Errorf("attributes of the root (-want +got):\n%s", diff)
	}
	sinks := make(map[string][]*tracepb.Span)
	for name, spans := range all {
		sink, ok := strings.CutPrefix(name, "deliver ")
		if !ok {
			continue
		}
		sinks[sink] = spans
		slices.SortFunc(spans, func(a, b *tracepb.Span) int {
			return int(int64(a.GetStartTimeUnixNano()) - int64(b.GetStartTimeUnixNano()))
		})
		last := 1
		for i, s := range spans {
			got := attributesOf(s.GetAttributes())
			attempt, err := strconv.Atoi(got["relay.attempt"])
			// One that the sink refuses as it refuses all does not count.
			fits := attempt == 1 || s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR && attempt >= last && attempt <= i+1
			last = attempt
			if !bytes.Equal(s.GetParentSpanId(), root.GetSpanId()) || s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano() ||
				got["relay.sink"] != sink || got["relay.event.id"] != e.ID || got["relay.journal.sequence"] == "0" || err != nil || !fits {
				t.Errorf("delivery %v", s)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(sinks)); !slices.Equal(got, []string{"bot", "console", "overlay"}) {
		t.Errorf("%s has deliveries to %v", e.ID, got)
	}
	return sinks
}
