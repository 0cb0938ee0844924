package pipeline

import "time"

// A Stage is one step of a treat through relay, for a trace: from receipt to on disk, or an attempt to deliver it. It
// holds nothing that a viewer wrote.
type Stage struct {
	ID       string // of the event
	Account  string
	Provider string
	Origin   Origin
	Sink     string // empty: the step is the receipt
	Seq      uint64 // in the journal; 0 for the receipt
	// Attempt is the number of the attempt. Probes during an outage do not count.
	Attempt int
	Began   time.Time
	Ended   time.Time
	// Err is why the sink did not accept it, or nil. Its text may contain a URL or an answer.
	Err error
}
