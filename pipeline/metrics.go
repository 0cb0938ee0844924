package pipeline

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of the pipeline. Their labels are names from the configuration, so label sets are bounded and
// hold no secret.
type Metrics struct {
	IntakeMetrics
	HistoryMetrics
	SinkMetrics
	AttemptsDropped prometheus.Counter // attempts missing from their log
}

// IntakeMetrics cover events from the source to the journal.
type IntakeMetrics struct {
	Received        *prometheus.CounterVec // by account: payloads from the source
	Journaled       *prometheus.CounterVec // by account, origin
	Duplicates      *prometheus.CounterVec // by account: already in the journal
	Rejected        *prometheus.CounterVec // by account: payloads that cannot be a treat
	JournalFailures prometheus.Counter     // failed writes, retries included
	JournalLatency  prometheus.Histogram   // from receipt to on disk
}

// HistoryMetrics cover the comparisons with the provider's history.
type HistoryMetrics struct {
	Reconciled *prometheus.CounterVec // by account, result: comparisons with the history
	Healed     *prometheus.CounterVec // by account: backfilled events
	HealedAt   *prometheus.GaugeVec   // by account: time of the last complete comparison
	Withheld   *prometheus.GaugeVec   // by account: treats of the last reply that may be unrecognized live ones
	Unusable   *prometheus.GaugeVec   // by account: items of the last reply that are not a treat or have no date
}

// SinkMetrics cover events from the journal to the sinks.
type SinkMetrics struct {
	Delivered   *prometheus.CounterVec   // by sink
	Failures    *prometheus.CounterVec   // by sink: failed attempts
	DeadLetters *prometheus.CounterVec   // by sink
	Latency     *prometheus.HistogramVec // by sink: journaled to accepted
	InFlight    *prometheus.GaugeVec     // by sink: taken from the journal, not accepted yet
	Retries     *prometheus.GaugeVec     // by sink: deferred events
	Filtered    *prometheus.CounterVec   // by sink: events excluded by its rules
	Outages     *prometheus.CounterVec   // by sink: how often it went down
	Down        *prometheus.GaugeVec     // by sink: 1 while it is down
	Disabled    *prometheus.GaugeVec     // by sink: 1 while it is disabled
}

// JournaledMetric is the name of the counter of events by account and origin.
const JournaledMetric = "relay_events_journaled_total"

// NewMetrics creates the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	r := registry{reg}
	return &Metrics{
		IntakeMetrics: IntakeMetrics{
			Received:        r.counter("relay_payloads_received_total", "Payloads received from the provider's socket.", "account"),
			Journaled:       r.counter(JournaledMetric, "Events written to the journal.", "account", "origin"),
			Duplicates:      r.counter("relay_events_duplicate_total", "Events the journal refused because it had them.", "account"),
			Rejected:        r.counter("relay_payloads_rejected_total", "Payloads that cannot be a treat, kept in the journal as rejects.", "account"),
			JournalFailures: r.total("relay_journal_write_failures_total", "Writes to the journal that failed, retries included."),
			JournalLatency:  r.latency("relay_journal_latency_seconds", "From receipt at the socket to being on disk."),
		},
		HistoryMetrics: HistoryMetrics{
			Reconciled: r.counter("relay_reconcile_total", "Comparisons of the journal with the provider's history.", "account", "result"),
			Healed:     r.counter("relay_reconcile_healed_total", "Treats backfilled from the provider's history.", "account"),
			HealedAt:   r.gauge("relay_reconcile_last_success_timestamp_seconds", "Time of the last complete comparison with the history.", "account"),
			Withheld:   r.gauge("relay_reconcile_withheld_items", "Treats of the last history that may be live ones in a form that is not recognized.", "account"),
			Unusable:   r.gauge("relay_reconcile_unusable_items", "Items of the last history that are not a treat or have no date.", "account"),
		},
		SinkMetrics: SinkMetrics{
			Delivered:   r.counter("relay_sink_delivered_total", "Events a sink has accepted.", "sink"),
			Failures:    r.counter("relay_sink_failures_total", "Attempts to deliver that failed.", "sink"),
			DeadLetters: r.counter("relay_sink_dead_letters_total", "Events a sink refused for good.", "sink"),
			Latency:     r.latencies("relay_sink_latency_seconds", "From being on disk to being accepted by the sink.", "sink"),
			InFlight:    r.gauge("relay_sink_in_flight", "Events taken from the journal and not accepted by the sink yet.", "sink"),
			Retries:     r.gauge("relay_sink_retries_waiting", "Events that failed several times and wait for their next attempt while others pass.", "sink"),
			Filtered:    r.counter("relay_sink_filtered_total", "Events left out by a sink's accounts, filter, tests or backfill.", "sink"),
			Outages:     r.counter("relay_sink_outages_total", "How often a sink went down, failing as a whole.", "sink"),
			Down:        r.gauge("relay_sink_down", "1 while a sink fails as a whole and is being probed.", "sink"),
			Disabled:    r.gauge("relay_sink_disabled", "1 while a sink is disabled.", "sink"),
		},
		AttemptsDropped: r.total("relay_attempts_dropped_total", "Attempts to deliver that are missing in the log of attempts."),
	}
}

// registry creates metrics and registers them.
type registry struct{ prometheus.Registerer }

func (r registry) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.MustRegister(c)
	return c
}

func (r registry) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	r.MustRegister(g)
	return g
}

func (r registry) total(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

func (r registry) latency(name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(latencyOpts(name, help))
	r.MustRegister(h)
	return h
}

func (r registry) latencies(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(latencyOpts(name, help), labels)
	r.MustRegister(h)
	return h
}

// latencyOpts describes a histogram with buckets from 0.1 ms to 93 s.
func latencyOpts(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 16)}
}
