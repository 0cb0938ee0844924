package main

import (
	"fmt"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
)

// A sink is disabled and enabled, with and without a running relay, with either journal engine. Its events wait
// meanwhile.
func TestSinksCommands(t *testing.T) {
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("external %t", external), func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			if external {
				w.onServer(natstest.Start(t).URL())
			}
			w.login()
			p := w.start()
			w.connected()
			if s := w.status("bot"); s.State != "ok" || s.Type != "webhook" || !s.Opened || s.LastAttempt != nil {
				t.Errorf("before the first event: %+v", s)
			}
			w.live.emit(0, 2)
			holds(t, "the webhook", w.bot.lines, 0, 2)

			w.relay(exit.OK, "sinks", "disable", "bot", "--reason", "moving house")
			p.err.find(t, "sink is disabled")
			w.live.emit(2, 5)
			holds(t, "stdout", p.out, 0, 5)
			eventually(t, func() error {
				s := w.status("bot")
				if s.State != "disabled" || s.Reason != "moving house" || s.Pending+uint64(s.InFlight) != 3 {
					return fmt.Errorf("bot is %+v", s)
				}
				if s = w.status("console"); s.State != "ok" || s.LastAttempt == nil || s.LastDelivery.IsZero() {
					return fmt.Errorf("console is %+v", s)
				}
				return nil
			})
			holds(t, "the webhook", w.bot.lines, 0, 2)
			p.stop()

			w.relay(exit.Usage, "sinks", "enable", "ghost")
			w.relay(exit.OK, "sinks", "enable", "bot")
			w.relay(exit.OK, "sinks", "enable", "bot") // already enabled
			p = w.start()
			w.connected()
			holds(t, "the webhook", w.bot.lines, 0, 5)

			w.relay(exit.OK, "sinks", "disable", "bot")
			p.err.find(t, "sink is disabled")
			w.live.emit(5, 7)
			w.relay(exit.OK, "sinks", "enable", "bot")
			holds(t, "the webhook", w.bot.lines, 0, 7)
			p.stop()
		})
	}
}
