package outcome

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// AttemptLog takes every attempt to deliver into the log of attempts. A sink adds one for each request or write, whatever came of it, and
// leaves Sink empty. It does not wait and may be called by several goroutines. It may be nil.
type AttemptLog func(pipeline.Attempt)

// Add adds one attempt.
func (l AttemptLog) Add(a pipeline.Attempt) {
	if l != nil {
		l(a)
	}
}

// AddBatch adds one attempt for the records that were accepted at once, and one for the record after them if err says why it was not.
func (l AttemptLog) AddBatch(endpoint string, start time.Time, records []pipeline.Record, accepted int, err error) {
	a := pipeline.Attempt{Time: start, Endpoint: endpoint, Latency: time.Since(start)}
	if accepted > 0 {
		a.Events = make([]string, 0, accepted)
		for _, r := range records[:accepted] {
			a.Events = append(a.Events, r.ID)
		}
		l.Add(a)
	}
	if err != nil && accepted < len(records) {
		a.Events, a.Error = []string{records[accepted].ID}, err.Error()
		l.Add(a)
	}
}
