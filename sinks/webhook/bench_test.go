package webhook

import (
	"bytes"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// BenchmarkSign is what it takes to make a webhook's request, signature and all, without sending it.
func BenchmarkSign(b *testing.B) {
	c := Config{
		Target:  outbound.Target{URL: secret.New("http://127.0.0.1:1/treats")},
		Signing: Signing{Secret: secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
		Request: Request{Method: "POST", Timeout: time.Second},
	}
	opened, err := c.Open(b.Context(), Env{})
	if err != nil {
		b.Fatal(err)
	}
	w, ok := opened.(*sink)
	if !ok {
		b.Fatalf("the sink is a %T", opened)
	}
	r := pipeline.Record{ID: "trt_01J9Z8Q0M3T5V7W9XAYBZCDEFG", Account: "mystream", Type: pipeline.EventType, Line: bytes.Repeat([]byte("x"), 600)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.request(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
