package daemon

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/session"
)

// PageNumbers are the numbers of the overlays and the HTTP server at one time.
type PageNumbers struct {
	Overlays map[string]overlay.Stats // by name
	Sessions map[session.Role]int     // of each role that logs in
	Readers  int                      // of streams over HTTP
}

// pageCollector measures the overlays and the HTTP server when Prometheus asks.
type pageCollector struct {
	measure                                  func() PageNumbers
	pages, shown, waiting, sessions, readers *prometheus.Desc
}

// NewPageMetrics returns the metrics of the overlays and the HTTP server. They call measure, which must be safe for concurrent use.
func NewPageMetrics(measure func() PageNumbers) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &pageCollector{
		measure:  measure,
		pages:    desc("relay_overlay_pages", "Pages of the overlay that are open, without previews.", "overlay"),
		shown:    desc("relay_overlay_alerts_shown_total", "Alerts that a page of the overlay began to show.", "overlay"),
		waiting:  desc("relay_overlay_alerts_waiting", "Treats that wait to be shown, at most 1000.", "overlay"),
		sessions: desc("relay_http_sessions", "Sessions of the dashboard.", "role"),
		readers:  desc("relay_sse_readers", "Readers of Server-Sent Events over HTTP."),
	}
}

// Describe implements [prometheus.Collector].
func (c *pageCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.pages, c.shown, c.waiting, c.sessions, c.readers} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *pageCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	now := c.measure()
	for name, o := range now.Overlays {
		gauge(c.pages, o.Pages, name)
		gauge(c.waiting, o.Waiting, name)
		to <- prometheus.MustNewConstMetric(c.shown, prometheus.CounterValue, float64(o.Shown), name)
	}
	for role, n := range now.Sessions {
		gauge(c.sessions, n, role.String())
	}
	gauge(c.readers, now.Readers)
}

// measure returns the numbers for [NewPageMetrics].
func (p *pages) measure() PageNumbers {
	p.mu.Lock()
	sessions := p.sessions
	p.mu.Unlock()
	now := PageNumbers{Overlays: p.overlays.Stats(), Readers: int(p.readers.Load())}
	if sessions != nil {
		now.Sessions = sessions.Count()
	}
	return now
}

// countReaders counts the requests for streams while they are answered.
func countReaders(readers *atomic.Int64, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, o := range api.Operations() {
		if o.Stream {
			mux.HandleFunc(o.Method+" "+api.Root+o.Path, func(w http.ResponseWriter, r *http.Request) {
				readers.Add(1)
				defer readers.Add(-1)
				next.ServeHTTP(w, r)
			})
		}
	}
	mux.Handle("/", next)
	return mux
}
