package journalcmd

import (
	"context"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// forEachEvent calls use for each event that the query selects, in the order of the journal, until use returns an error.
func forEachEvent(ctx context.Context, c *api.Client, q *api.EventQuery, use func(*api.Event) error) error {
	for e, err := range c.History(ctx, q) {
		if err != nil {
			return err
		}
		if err := use(&e); err != nil {
			return err
		}
	}
	return nil
}
