package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// tellManager tells the service manager that started relay something, if that wants to know: systemd, or another one that sets
// NOTIFY_SOCKET (sd_notify(3)).
func tellManager(log zerolog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn().Err(err).Msg("service manager cannot be told how relay is: check NOTIFY_SOCKET and, in the unit, NotifyAccess")
	}
}

// supervise tells the service manager that the job runs, and from then on that it is alive, until stop is called.
func (j *job) supervise(ctx context.Context) (stop func()) {
	tellManager(j.log, fmt.Sprintf("%s\nSTATUS=receives from %d accounts, delivers to %d sinks", daemon.SdNotifyReady, len(j.parts().sources()), len(j.parts().sinks)))
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		j.log.Warn().Err(err).Msg("service manager's watchdog is not served: check WATCHDOG_USEC and WATCHDOG_PID")
	}
	if err != nil || interval == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		watchdog(ctx, interval, j.journal.Stuck, func() { tellManager(j.log, daemon.SdNotifyWatchdog) }, j.log)
	})
	return func() {
		cancel()
		watch.Wait()
	}
}

// watchdog calls alive twice an interval until ctx ends, but not while something is stuck for longer than the interval: then the
// service manager is to restart relay.
func watchdog(ctx context.Context, interval time.Duration, stuck func() time.Duration, alive func(), log zerolog.Logger) {
	tick := time.NewTicker(max(interval/2, time.Millisecond))
	defer tick.Stop()
	said := false
	for {
		if since := stuck(); since <= interval {
			said = false
			alive()
		} else if !said {
			said = true
			log.Error().Dur("for", since).Msg("journal's writer is stuck: the service manager's watchdog is to restart relay")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
