package journalcmd

import (
	"context"
	"errors"
	"sync"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// A replay sends the events that its filter selects to a sink again.
type replay struct {
	sink     string
	filter   query.EventFilter
	dryRun   bool
	at       checkpoint
	pacer    pacer
	progress terminal.Progress
	started  bool // at says where to continue
	sent     int  // or counted, in a dry run
}

// run sends the events up to the end that the journal has when it is called.
func (r *replay) run(ctx context.Context, c *api.Client) error {
	if r.at.last == 0 {
		j, err := c.Journal(ctx)
		if err != nil || j.Last == 0 {
			return err
		}
		r.at.last = j.Last
	}
	r.filter.After, r.filter.Last, r.started = r.at.done, r.at.last, true
	switch {
	case r.dryRun:
		return forEachEvent(ctx, c, &api.EventQuery{EventFilter: r.filter}, func(e *api.Event) error {
			r.sent++
			return r.progress.Show(r.sent, e.Time)
		})
	case r.pacer.speed == 0:
		return r.send(ctx, c, r.at.last)
	}
	return r.runPaced(ctx, c)
}

// runPaced sends each event when it is due. Events that become due while others are being sent are sent together.
func (r *replay) runPaced(ctx context.Context, c *api.Client) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	due := make(chan uint64, 1) // the number up to which events are due
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() {
		for last := range due {
			if sendErr = r.send(ctx, c, last); sendErr != nil {
				stop(sendErr)
				return
			}
		}
	})
	err := forEachEvent(ctx, c, &api.EventQuery{EventFilter: r.filter}, func(e *api.Event) error {
		if err := r.pacer.wait(ctx, e.Time); err != nil {
			return err
		}
		for {
			select {
			case due <- e.Number:
				return nil
			case <-due: // the sender has not received the previous number, which this one includes
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	close(due)
	sender.Wait()
	if sendErr != nil && !errors.Is(err, exit.ErrSignal) {
		return sendErr
	}
	return err
}

// send sends the events up to a number, in parts, and advances the checkpoint after each part.
func (r *replay) send(ctx context.Context, c *api.Client, last uint64) error {
	order := api.ReplayRequest{Sink: r.sink, Run: r.at.run, EventSelection: api.SelectionOf(&r.filter)}
	order.After, order.Last = r.at.done, last
	for {
		part, err := c.Replay(ctx, &order)
		if err != nil {
			return err
		}
		if part.Sent > 0 {
			r.sent, r.at.done, order.After = r.sent+part.Sent, part.Done, part.Done
			if err := r.progress.Show(r.sent, part.Latest); err != nil {
				return err
			}
		}
		if !part.More {
			return nil
		}
	}
}
