package outcome

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// AttemptLog logs a delivery attempt. A sink calls it once per request or write, whatever the result, and leaves Sink
// empty. It does not block and is safe for concurrent use. It may be nil.
type AttemptLog func(pipeline.Attempt)

// Add logs one attempt.
func (l AttemptLog) Add(a pipeline.Attempt) {
	if l != nil {
		l(a)
	}
}

// AddBatch logs one attempt for the records accepted together, and one for the next record if err says why that was not
// accepted.
func (l AttemptLog) AddBatch(endpoint string, start time.Time, records []pipeline.Record, accepted int, err error) {
	a := pipeline.Attempt{Time: start, Endpoint: endpoint, Latency: time.Since(start)}
	if accepted > 0 {
		a.Covers(records[:accepted]...)
		l.Add(a)
	}
	if err != nil && accepted < len(records) {
		a.Covers(records[accepted])
		a.Error = err.Error()
		l.Add(a)
	}
}
