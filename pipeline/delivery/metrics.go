package delivery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
)

// laneMetrics are the metrics of one sink.
type laneMetrics struct {
	delivered, failures, deadLetters, filtered prometheus.Counter
	inFlight, retries                          prometheus.Gauge
	latency                                    prometheus.Observer
	health                                     breaker.Metrics
}

func newLaneMetrics(m *pipeline.Metrics, sink string) *laneMetrics {
	return &laneMetrics{
		delivered: m.Delivered.WithLabelValues(sink), failures: m.Failures.WithLabelValues(sink), deadLetters: m.DeadLetters.WithLabelValues(sink),
		filtered: m.Filtered.WithLabelValues(sink),
		inFlight: m.InFlight.WithLabelValues(sink), retries: m.Retries.WithLabelValues(sink),
		latency: m.Latency.WithLabelValues(sink), health: breaker.NewMetrics(m, sink),
	}
}
