package pipeline

import "time"

// A Stage is one stage on the way of a treat, as a trace shows it: from receipt to on disk, or an attempt to deliver it. It holds
// nothing that a viewer wrote.
type Stage struct {
	ID       string // of the event
	Account  string
	Provider string
	Origin   Origin
	Sink     string // empty: it was received and journaled
	Seq      uint64 // in the journal; 0 if it was journaled just now
	// Attempt is the number of the attempt, as the retries of the event count: while the destination is down as a whole it
	// does not grow.
	Attempt int
	Began   time.Time
	Ended   time.Time
	// Err is why the sink did not accept it, nil if it did. Its text may name a URL or hold an answer.
	Err error
}
