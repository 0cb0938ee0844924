package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// watchStatus prints the status every second until ctx ends. The first request must succeed; later it waits for a relay that went away.
func (o *statusOptions) watchStatus(ctx context.Context, dir string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for first, away := true, false; ; first = false {
		s, err := api.GetStatus(ctx, dir)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil && !away:
			away = true
			err = o.Say("%s; waiting for it.", describeAway(dir, err))
		case err != nil:
			err = nil // it was reported
		default:
			away = false
			err = o.draw(&s, first)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// draw prints a status: on a terminal in place of the previous one, elsewhere after it.
func (o *statusOptions) draw(s *api.Status, first bool) error {
	out := o.Out
	redraw := terminal.Is(o.Out) && !o.json
	var block strings.Builder
	if !first && !o.json && !redraw {
		block.WriteString("\n")
	}
	if err := o.write(&block, s); err != nil {
		return err
	}
	text := block.String()
	if redraw { // overwrite from the top, so that nothing flickers
		visible, _ := terminal.Visible([]byte(text))
		text = "\x1b[H" + strings.ReplaceAll(string(visible), "\n", "\x1b[K\n") + "\x1b[J"
		out = terminal.Raw(o.Out)
	}
	_, err := io.WriteString(out, text)
	return err
}

// describeAway says in one line why the relay no longer answers.
func describeAway(dir string, err error) string {
	if errors.Is(err, api.ErrNoRelay) {
		return "No relay runs on " + dir + " any more"
	}
	return strings.TrimSuffix(err.Error(), "\n")
}
