package journal

import (
	"crypto/rand"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/treatrelay/relay/pipeline"
)

// meters caches counters by their labels, since looking them up costs more than counting.
type meters struct {
	journaled map[accountOrigin]prometheus.Counter
}

type accountOrigin struct {
	account string
	origin  pipeline.Origin
}

// written counts an entry that is on disk. It does not count tests.
func (m *meters) written(metrics *pipeline.Metrics, e *Entry, took time.Duration) {
	switch {
	case metrics == nil:
	case e.Kind == Reject:
		metrics.Rejected.WithLabelValues(e.Account).Inc()
	case e.Kind == Treat && e.Origin != pipeline.OriginTest:
		key := accountOrigin{e.Account, e.Origin}
		counter := m.journaled[key]
		if counter == nil {
			if m.journaled == nil {
				m.journaled = make(map[accountOrigin]prometheus.Counter)
			}
			counter = metrics.Journaled.WithLabelValues(e.Account, string(e.Origin))
			m.journaled[key] = counter
		}
		counter.Inc()
		metrics.JournalLatency.Observe(took.Seconds())
	}
}

// reportStage traces a treat that is on disk.
func (j *Journal) reportStage(e *Entry, received, now time.Time) {
	if j.cfg.OnStage == nil || e.Kind != Treat || e.Origin == pipeline.OriginTest {
		return
	}
	j.cfg.OnStage(pipeline.Stage{ID: e.ID, Account: e.Account, Provider: e.Provider, Origin: e.Origin, Began: received, Ended: now})
}

// newID returns a unique id: a prefix and 22 letters and digits.
func newID(prefix string) string { return prefix + rand.Text()[:22] }
