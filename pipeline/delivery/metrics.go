package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// laneMetrics are the metrics of one sink.
type laneMetrics struct {
	delivered, failures, deadLetters, filtered, outages prometheus.Counter
	inFlight, retries, down, disabled                   prometheus.Gauge
	latency                                             prometheus.Observer
}

func newLaneMetrics(m *pipeline.Metrics, sink string) *laneMetrics {
	return &laneMetrics{
		delivered: m.Delivered.WithLabelValues(sink), failures: m.Failures.WithLabelValues(sink), deadLetters: m.DeadLetters.WithLabelValues(sink),
		filtered: m.Filtered.WithLabelValues(sink), outages: m.Outages.WithLabelValues(sink),
		inFlight: m.InFlight.WithLabelValues(sink), retries: m.Retries.WithLabelValues(sink), down: m.Down.WithLabelValues(sink), disabled: m.Disabled.WithLabelValues(sink),
		latency: m.Latency.WithLabelValues(sink),
	}
}

// show sets the metrics of a state.
func (m *laneMetrics) show(s journal.SinkState) {
	number := func(since time.Time) float64 {
		if since.IsZero() {
			return 0
		}
		return 1
	}
	m.down.Set(number(s.DownSince))
	m.disabled.Set(number(s.DisabledSince))
}
