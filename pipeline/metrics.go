package pipeline

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what goes through the pipeline. Its labels are names from the configuration only, so their sets are
// bounded and hold no secret.
type Metrics struct {
	Received        *prometheus.CounterVec // by account: payloads from the source
	Journaled       *prometheus.CounterVec // by account, origin
	Duplicates      *prometheus.CounterVec // by account: refused by the journal as known
	Rejected        *prometheus.CounterVec // by account: payloads that cannot be a treat
	JournalFailures prometheus.Counter     // failed writes, retries included
	JournalLatency  prometheus.Histogram   // received to on disk

	Reconciled *prometheus.CounterVec // by account, result: comparisons with the history
	Healed     *prometheus.CounterVec // by account: events journaled from the history
	HealedAt   *prometheus.GaugeVec   // by account: the last comparison that was made to its end
	Withheld   *prometheus.GaugeVec   // by account: treats of the last reply that may be live ones in a form that cannot be recognized
	Unusable   *prometheus.GaugeVec   // by account: items of the last reply that are no treat or have no date

	Delivered   *prometheus.CounterVec   // by sink
	Failures    *prometheus.CounterVec   // by sink: failed attempts
	DeadLetters *prometheus.CounterVec   // by sink
	Latency     *prometheus.HistogramVec // by sink: journaled to accepted
	InFlight    *prometheus.GaugeVec     // by sink: taken from the journal, not accepted yet
	Retries     *prometheus.GaugeVec     // by sink: events that stepped aside
	Filtered    *prometheus.CounterVec   // by sink: events its rules left out
	Outages     *prometheus.CounterVec   // by sink: how often it went down
	Down        *prometheus.GaugeVec     // by sink: 1 while it is down
	Disabled    *prometheus.GaugeVec     // by sink: 1 while it is disabled

	AttemptsDropped prometheus.Counter // attempts that are missing in their log
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(g)
		return g
	}
	buckets := prometheus.ExponentialBuckets(0.0001, 2.5, 16) // 0.1 ms to 93 s
	m := &Metrics{
		Received:    counter("relay_payloads_received_total", "Payloads received from the provider's socket.", "account"),
		Journaled:   counter("relay_events_journaled_total", "Events written to the journal.", "account", "origin"),
		Duplicates:  counter("relay_events_duplicate_total", "Events the journal refused because it had them.", "account"),
		Rejected:    counter("relay_payloads_rejected_total", "Payloads that cannot be a treat, kept in the journal as rejects.", "account"),
		Reconciled:  counter("relay_reconcile_total", "Comparisons of the journal with the provider's history.", "account", "result"),
		Healed:      counter("relay_reconcile_healed_total", "Events that were missed and journaled from the provider's history.", "account"),
		HealedAt:    gauge("relay_reconcile_last_success_timestamp_seconds", "When a comparison with the history was last made to its end.", "account"),
		Withheld:    gauge("relay_reconcile_withheld_items", "Treats of the history last read that may be live ones in a form that cannot be recognized.", "account"),
		Unusable:    gauge("relay_reconcile_unusable_items", "Items of the history last read that are no treat or have no date.", "account"),
		Delivered:   counter("relay_sink_delivered_total", "Events a sink has accepted.", "sink"),
		Failures:    counter("relay_sink_failures_total", "Attempts to deliver that failed.", "sink"),
		DeadLetters: counter("relay_sink_dead_letters_total", "Events a sink refused for good.", "sink"),
		Filtered:    counter("relay_sink_filtered_total", "Events left out by a sink's accounts, filter, tests or backfill.", "sink"),
		Outages:     counter("relay_sink_outages_total", "How often a sink went down, failing as a whole.", "sink"),
		InFlight:    gauge("relay_sink_in_flight", "Events taken from the journal and not accepted by the sink yet.", "sink"),
		Retries:     gauge("relay_sink_retries_waiting", "Events that failed several times and wait for their next attempt while others pass.", "sink"),
		Down:        gauge("relay_sink_down", "1 while a sink fails as a whole and is being probed.", "sink"),
		Disabled:    gauge("relay_sink_disabled", "1 while a sink is disabled.", "sink"),
		JournalFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "relay_journal_write_failures_total", Help: "Writes to the journal that failed, retries included.",
		}),
		JournalLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "relay_journal_latency_seconds", Help: "From receipt at the socket to being on disk.", Buckets: buckets,
		}),
		Latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_sink_latency_seconds", Help: "From being on disk to being accepted by the sink.", Buckets: buckets,
		}, []string{"sink"}),
		AttemptsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "relay_attempts_dropped_total", Help: "Attempts to deliver that are missing in the log of attempts.",
		}),
	}
	reg.MustRegister(m.JournalFailures, m.JournalLatency, m.Latency, m.AttemptsDropped)
	return m
}
