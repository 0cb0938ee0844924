package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// A serviceManager receives notifications about the state of relay, if the manager that started relay wants them: systemd, or another
// one that sets NOTIFY_SOCKET (sd_notify(3)). Its methods may be called by several goroutines.
type serviceManager struct {
	log zerolog.Logger

	mu       sync.Mutex
	stopping bool
}

// ready notifies that relay runs.
func (m *serviceManager) ready(now runners) { m.notify(daemon.SdNotifyReady + "\n" + statusLine(now)) }

// reloaded refreshes the status line after a reload. Once relay is stopping it does nothing.
func (m *serviceManager) reloaded(now runners) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopping {
		m.notify(statusLine(now))
	}
}

// stop notifies that relay is stopping.
func (m *serviceManager) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopping = true
	m.notify(daemon.SdNotifyStopping + "\nSTATUS=delivers what it has received")
}

// alive resets the watchdog.
func (m *serviceManager) alive() { m.notify(daemon.SdNotifyWatchdog) }

func (m *serviceManager) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn().Err(err).Msg("service manager cannot be notified: check NOTIFY_SOCKET and, in the unit, NotifyAccess")
	}
}

// statusLine is what systemctl status shows.
func statusLine(now runners) string {
	return fmt.Sprintf("STATUS=receives from %d accounts, delivers to %d sinks", len(now.sources()), len(now.sinks))
}

// supervise notifies the service manager that the job runs, and resets its watchdog until stop is called.
func (j *job) supervise(ctx context.Context) (stop func()) {
	j.manager.ready(j.runners())
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		j.log.Warn().Err(err).Msg("service manager's watchdog is not served: check WATCHDOG_USEC and WATCHDOG_PID")
	}
	if err != nil || interval == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { watchdog(ctx, interval, j.data.journal.Stuck, j.manager.alive, j.log) })
	return func() {
		cancel()
		watch.Wait()
	}
}

// watchdog calls alive twice per interval until ctx ends, but not while stuck returns more than the interval: then the service manager
// restarts relay.
func watchdog(ctx context.Context, interval time.Duration, stuck func() time.Duration, alive func(), log zerolog.Logger) {
	tick := time.NewTicker(max(interval/2, time.Millisecond))
	defer tick.Stop()
	logged := false
	for {
		if since := stuck(); since <= interval {
			logged = false
			alive()
		} else if !logged {
			logged = true
			log.Error().Dur("for", since).Msg("journal's writer is stuck: the service manager's watchdog will restart relay")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
