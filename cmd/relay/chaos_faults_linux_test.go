package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

func (f *fault) matches(part string) bool { return strings.Contains(f.name, part) }

// faults returns a kill of relay, so many times in a row, and every other fault.
func (c *chaos) faults() (kill func(times int) *fault, others func() []*fault) {
	nothing := func() {}
	longest := *chaosLongest
	kill = func(times int) *fault {
		return &fault{name: "relay killed", begin: nothing, end: nothing, during: func(time.Duration) {
			for range times {
				c.sleep(time.Duration(c.random.Int64N(int64(1500 * time.Millisecond)))) // also while it starts
				c.killRelay()
				c.startRelay()
			}
		}}
	}
	const second = time.Second
	return kill, func() []*fault {
		return append([]*fault{
			{name: "Socket.IO server killed", shortest: second / 10, longest: longest, begin: c.server.kill, end: c.server.start},
			{
				name: "Socket.IO server frozen", shortest: second, longest: longest,
				begin: func() { c.server.signal(syscall.SIGSTOP) }, end: func() { c.server.signal(syscall.SIGCONT) },
			},
			c.network("network stalls", func() { c.wire.set(stalls) }),
			c.network("network trickles", func() { c.wire.set(trickles) }),
			c.network("network is cut", func() { c.wire.set(cut) }),
			{name: "connections are reset", shortest: second, longest: min(longest, 10*second), begin: nothing, end: nothing, during: c.often(c.wire.reset)},
			{name: "frames are damaged", shortest: second, longest: min(longest, 10*second), begin: nothing, end: c.wire.heal, during: c.often(c.wire.damage)},
			{name: "login withdrawn", shortest: second, longest: longest, begin: c.revoke, end: c.regrant},
			{
				name: "renewal of the token fails", shortest: second, longest: longest,
				begin: func() {
					c.gate.set(map[string]http.HandlerFunc{"RefreshToken": c.answers(http.StatusBadGateway), "socketToken": c.answers(http.StatusUnauthorized)})
					c.wire.reset()
				},
				end: func() { c.gate.set(nil) },
			},
			{
				name: "provider's history fails", shortest: second, longest: longest,
				begin: func() {
					c.gate.set(map[string]http.HandlerFunc{"getMonthTreats": c.answers(http.StatusServiceUnavailable)})
					c.wire.reset()
				},
				end: func() { c.gate.set(nil) },
			},
			{name: "webhook receiver down", shortest: second, longest: longest, begin: c.bot.stop, end: c.bot.start},
			c.receiver("webhook receiver slow", slow),
			c.receiver("webhook receiver lies", lying),
			c.receiver("webhook receiver hangs", hanging),
			{name: "external NATS killed", shortest: second / 10, longest: longest, begin: c.nats.Kill, end: c.nats.Restart},
			{name: "external NATS frozen", shortest: second, longest: longest, begin: c.nats.Freeze, end: c.nats.Thaw},
			c.clock("clock 3 hours ahead", 3*time.Hour),
			c.clock("clock 3 hours behind", -3*time.Hour),
			{
				name: "clock set back, webhook down", shortest: 2 * second, longest: longest,
				begin: c.downAhead, end: func() {
					c.setSkew(0)
					c.bot.start()
				},
			},
			{
				name: "clock set back, webhook down, relay killed", shortest: 2 * second, longest: longest,
				begin: c.downAhead, end: func() {
					c.setSkew(0)
					c.killRelay()
					c.bot.start()
					c.startRelay()
				},
			},
			{name: "disk full", shortest: 2 * second, longest: longest, begin: c.fillDisk, end: c.freeDisk},
			{name: "disk full while the token is renewed", shortest: 2 * second, longest: longest, begin: c.renewOnFullDisk, end: c.freeDisk},
		}, c.journalFaults(longest)...)
	}
}

func (c *chaos) network(name string, begin func()) *fault {
	return &fault{name: name, shortest: time.Second, longest: *chaosLongest, begin: begin, end: func() { c.wire.set(flows) }}
}

func (c *chaos) receiver(name string, mood int32) *fault {
	return &fault{
		name: name, shortest: time.Second, longest: *chaosLongest,
		begin: func() { c.bot.mood.Store(mood) }, end: func() { c.bot.mood.Store(wellBehaved) },
	}
}

// clock sets relay's clock wrong, has it start with that, and sets it right again.
func (c *chaos) clock(name string, wrong time.Duration) *fault {
	return &fault{
		name: name, shortest: 2 * time.Second, longest: max(*chaosLongest, 2*time.Second),
		begin: func() { c.setSkew(wrong) },
		during: func(lasts time.Duration) {
			c.sleep(lasts / 2)
			c.killRelay()
			c.startRelay()
			c.sleep(lasts / 2)
		},
		end: func() { c.setSkew(0) },
	}
}

// often does it again and again while the fault lasts.
func (c *chaos) often(do func()) func(time.Duration) {
	return func(lasts time.Duration) {
		for end := time.Now().Add(lasts); time.Now().Before(end); c.sleep(time.Duration(c.random.Int64N(int64(time.Second)))) {
			do()
		}
	}
}

// downAhead sets relay's clock ahead and ends the receiver of webhooks, and waits until relay has noticed.
func (c *chaos) downAhead() {
	c.t.Helper()
	c.setSkew(3 * time.Hour)
	c.sleep(100 * time.Millisecond)
	c.bot.stop()
	eventually(c.t, func() error {
		down := false
		for _, line := range c.relay.err.get() {
			if strings.Contains(line, `"sink":"bot"`) {
				down = strings.Contains(line, "sink is down") || down && !strings.Contains(line, "sink works again")
			}
		}
		if !down {
			return fmt.Errorf("relay does not notice that the webhook is down; its last line is %s", lastLine(c.relay))
		}
		return nil
	})
}

func (c *chaos) answers(status int) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) }
}

func (c *chaos) revoke() {
	c.revoked = true
	c.heard("account receives nothing until", func() {
		c.sim.RevokeAll()
		c.wire.reset()
	})
}

// heard does something, and waits until relay has said that.
func (c *chaos) heard(said string, do func()) {
	c.t.Helper()
	before := strings.Count(c.relay.err.text(), said)
	do()
	eventually(c.t, func() error {
		if strings.Count(c.relay.err.text(), said) == before {
			return fmt.Errorf("relay does not say %q; its last line is %s", said, lastLine(c.relay))
		}
		return nil
	})
}

func (c *chaos) regrant() {
	c.heard("account has a login again", c.login)
	c.revoked = false
}

// fillDisk leaves relay no room, and waits until the journal has noticed, unless that has room in a segment that was prepared.
func (c *chaos) fillDisk() {
	c.t.Helper()
	c.awaitUp() // a relay that finds no room when it starts ends with an error
	if c.cluster != nil {
		c.fill()
		return
	}
	const said = "journal cannot be written"
	before := strings.Count(c.relay.err.text(), said)
	c.fill()
	eventually(c.t, func() error {
		if strings.Count(c.relay.err.text(), said) > before {
			return nil
		}
		if c.prepared() {
			c.note("the journal goes on in a segment that was prepared")
			return nil
		}
		return fmt.Errorf("relay does not say %q; its last line is %s", said, lastLine(c.relay))
	})
}

// fill leaves no room on the disk, and returns how many bytes were free.
func (c *chaos) fill() (free uint64) {
	c.t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(c.data(), &disk); err != nil {
		c.t.Fatal(err)
	}
	c.resize((disk.Blocks - disk.Bfree) * uint64(disk.Bsize))
	return disk.Bfree * uint64(disk.Bsize)
}

func (c *chaos) freeDisk() { c.resize(chaosDisk) }

// renewOnFullDisk has a token renewed that cannot be kept. It must be said, and cost nothing.
func (c *chaos) renewOnFullDisk() {
	c.t.Helper()
	c.fillDisk()
	for room := uint64(1); room > 0; {
		_, stderr, code := c.command("", "auth", "refresh", "mystream")
		c.note("relay auth refresh on a full disk: exit code %d: %s", code, strings.TrimSpace(stderr))
		if code != exit.OK {
			break
		}
		if room = c.fill(); room == 0 { // else relay has removed a file meanwhile, and made room
			c.t.Error("relay auth refresh says that it kept a token on a full disk")
		}
	}
	c.wire.reset() // a connection needs the token
}
