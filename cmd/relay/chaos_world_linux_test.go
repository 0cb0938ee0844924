package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/internal/simulator"
)

// chaos is a world with faults.
type chaos struct {
	*world
	random  *rand.Rand
	ledger  *ledger
	server  *liveServer
	wire    *wire
	gate    *gateway
	nats    *natstest.Server   // for the sink "ext"
	cluster []*natstest.Server // of the journal, if that is external
	bot     *flakyReceiver
	reader  *flakyReceiver // of digests, who is always there
	binary  string
	skew    string // the file with relay's clock error, in seconds

	console, overlay, ext *account

	relay      *process
	stopping   context.CancelFunc
	work       sync.WaitGroup
	recoveries []recovery
	remarks    []string
	past       []*process // relays that have ended
	stops      int        // how many of them were told to stop
	began      time.Time
	revoked    bool // the login is withdrawn on purpose
	logins     int  // logins that a fault made necessary
	faulty     bool
}

func newChaos(t *testing.T, seed uint64, provider simulator.Config) *chaos {
	t.Helper()
	c := &chaos{random: rand.New(rand.NewPCG(seed, 1)), ledger: &ledger{}, began: time.Now()}
	c.server = newLiveServer(t)
	c.wire = newWire(t, fmt.Sprintf("127.0.0.1:%d", c.server.port), seed)
	c.world = newWorldWith(t, provider, func(*testing.T, *simulator.Server) realtime { return c.server })
	c.gate = newGateway(t, c.sim.URL())
	nats, err := natstest.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.nats = natstest.StartProgram(t, nats)
	if *chaosJournal == "external" {
		c.cluster = natstest.StartCluster(t, nats, 3)
	}
	c.bot = newFlakyReceiver(t, c.ledger.add("webhook, strict"), seed)
	c.reader = newFlakyReceiver(t, c.ledger.aside("webhook, digests"), seed)
	c.overlay, c.ext, c.console = c.ledger.add("NATS, embedded"), c.ledger.add("NATS, external"), c.ledger.add("stdout")
	c.skew = filepath.Join(c.dir, "skew")
	c.setSkew(0)
	c.binary = skewedBinary(t)
	c.mount()

	through := func(at string) string { return replaceOnce(t, at, c.sim.URL(), c.gate.url) }
	c.configure(func(s *settings) {
		account, bot, reader := s.account(), s.Sinks["bot"], webhookTo(c.reader.url())
		e := &account.Endpoints
		e.Token, e.Refresh, e.SocketToken, e.History = through(e.Token), through(e.Refresh), through(e.SocketToken), through(e.History)
		e.Socket = c.wire.url()
		account.Reconcile = "1m"
		bot.URL, bot.Order, bot.Timeout = c.bot.url(), "strict", "2s"
		reader.Backfill, reader.Timeout = "digest", "2s"
		s.Sinks["reader"], s.Sinks["ext"] = reader, natsTo(c.nats.URL(), "", "")
		if c.cluster != nil {
			s.Journal.NATSURL = c.journalURL()
		}
	})
	c.login()
	t.Cleanup(func() {
		if *chaosOut != "" { // even if the test has failed
			c.save(".log", c.logs())
		}
		c.stopEmission()
		c.bot.stop()
		c.reader.stop()
	})
	return c
}

const chaosDisk = 8 << 30

// mount gives relay's data a disk of their own, which can be filled.
func (c *chaos) mount() {
	c.t.Helper()
	data := c.data()
	if err := os.Mkdir(data, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := syscall.Mount("none", data, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", chaosDisk)); err != nil {
		c.t.Fatalf("mount a small disk for the data: %v; run it as root, or in a namespace of its own: unshare --map-root-user --mount", err)
	}
	c.t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
}

// resize makes that disk larger or smaller.
func (c *chaos) resize(size uint64) {
	c.t.Helper()
	if err := syscall.Mount("none", c.data(), "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chaos) note(format string, args ...any) {
	announce("%7.1fs  %s", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

func (c *chaos) sleep(d time.Duration) { time.Sleep(d) }

// startRelay starts relay. What it prints goes to the ledger.
func (c *chaos) startRelay() {
	c.t.Helper()
	p := newProcess(c.t, c.binary, append(c.args(), "--log-format", "json")...)
	c.console.rest = nil
	p.cmd.Stdout = c.console
	p.start(append(c.env(), "RELAY_TEST_SKEW="+c.skew))
	c.relay = p
}

// awaitUp waits until a relay that was just started has all that it needs to start.
func (c *chaos) awaitUp() { c.relay.err.find(c.t, "relay runs") }

// awaitSignals waits until a relay that was just started handles SIGTERM. Before that, the signal ends a process at once.
func (c *chaos) awaitSignals() {
	c.t.Helper()
	eventually(c.t, func() error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.relay.cmd.Process.Pid))
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(text), "SigCgt:")
		line, _, _ := strings.Cut(rest, "\n")
		caught, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
		if err == nil && caught&(1<<(syscall.SIGTERM-1)) == 0 {
			err = errors.New("relay does not handle SIGTERM yet")
		}
		return err
	})
}

// killRelay ends relay as a power cut does.
func (c *chaos) killRelay() {
	c.t.Helper()
	c.watch()
	_ = c.relay.cmd.Process.Kill()
	<-c.relay.done
	c.past = append(c.past, c.relay)
}

// watch records an unexpected end of relay, and reports whether there was one.
func (c *chaos) watch() (ended bool) {
	select {
	case <-c.relay.done:
	default:
		return false
	}
	remark := fmt.Sprintf("relay ended by itself, %v: %s", c.relay.cmd.ProcessState, lastLine(c.relay))
	c.note("%s", remark)
	c.remarks, c.faulty = append(c.remarks, remark), true
	return true
}

// supervise acts as supervisor and operator: it restarts a relay that has ended, and logs in when relay asks for it.
func (c *chaos) supervise() {
	c.t.Helper()
	if c.watch() {
		c.past = append(c.past, c.relay)
		c.startRelay()
	}
	if !c.revoked && strings.Count(c.relay.err.text(), "account receives nothing until") > strings.Count(c.relay.err.text(), "account has a login again") {
		c.logins++
		c.note("the login is lost, for a kill has cut off its renewal: logging in again")
		c.login()
		c.sleep(time.Second)
	}
}

func lastLine(p *process) string {
	all := p.err.get()
	if len(all) == 0 {
		return "it said nothing"
	}
	return all[len(all)-1]
}

func (c *chaos) awaitConnected() {
	c.t.Helper()
	c.relay.err.find(c.t, "first comparison with the history")
	// The consumers of the streams, which stay through all that follows.
	login := c.overlayLogin()
	c.follow(c.overlay, "nats://"+c.natsAddr, nats.UserInfo(login.User, login.Password))
	c.follow(c.ext, c.nats.URL(), nil)
}

// emit sends treats until stopEmission: into the provider's history, and on the socket to all connections.
func (c *chaos) emit(rate int) {
	ctx, stop := context.WithCancel(context.WithoutCancel(c.t.Context()))
	c.stopping = stop
	random := rand.New(rand.NewPCG(uint64(c.began.UnixNano()), 3))
	c.work.Go(func() {
		const tick = 20 * time.Millisecond
		began, sent := time.Now(), 0
		for ctx.Err() == nil {
			var batch []any
			for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
				n := 1
				if random.IntN(50) == 0 {
					n = 2 // a viewer sends the very same twice
				}
				message := "enjoy 🍕\u2028!"
				treat := simulator.Treat{
					Sender: "Viewer", SenderType: "twitch", Receiver: "me", ReceiverType: "twitch", Message: &message,
					Title: fmt.Sprintf("%s%07d", chaosTitle, c.ledger.emit(n)), DateCreated: time.Now().UTC().Format(time.DateTime),
				}
				for range n {
					if _, err := c.sim.Emit(treat); err != nil {
						c.t.Error(err)
					}
					batch = append(batch, treat)
				}
			}
			c.server.emitAll(batch)
			select {
			case <-ctx.Done():
			case <-time.After(tick):
			}
		}
	})
}

func (c *chaos) stopEmission() {
	if c.stopping != nil {
		c.stopping()
		c.work.Wait()
	}
}

// finish waits until everything has arrived, and stops relay.
func (c *chaos) finish() {
	c.t.Helper()
	mark := c.ledger.count()
	for began := time.Now(); c.ledger.behind(mark) != "" || c.reader.account.received() < c.ledger.total(); c.sleep(50 * time.Millisecond) {
		if time.Since(began) > recoveryLimit {
			c.t.Errorf("in the end %s; the receiver of digests knows of %d of %d treats", c.ledger.behind(mark), c.reader.account.received(), c.ledger.total())
			break
		}
		c.supervise()
	}
	if _, stderr, code := c.command("", "reconcile", "mystream"); code != exit.OK {
		c.t.Errorf("relay reconcile: exit code %d:\n%s", code, stderr)
	} else {
		c.note("%s", strings.TrimSpace(stderr))
	}
	c.sleep(2 * time.Second) // for events that must not arrive
	c.stopRelay()
}

// verdict reads the journal, and compares every sink with the emitted treats.
func (c *chaos) verdict() *verdict {
	c.t.Helper()
	journal := newSinkAccount("journal", c.ledger)
	read := newProcess(c.t, c.binary, append([]string{"history", "--json", "--account", "mystream"}, c.args()...)...)
	read.cmd.Stdout = journal
	read.start(c.env())
	<-read.done // without a deadline
	if code := read.cmd.ProcessState.ExitCode(); code != exit.OK {
		c.t.Errorf("relay history: exit code %d:\n%s", code, read.err.text())
	}
	c.journaled()
	c.inspect(c.logs())
	v := &verdict{emitted: c.ledger.total(), recoveries: c.recoveries, remarks: c.remarks, failed: c.faulty || c.t.Failed()}
	// What relay had under way when it was killed comes again, and so does what a receiver denied to have got.
	copies := 300 * (1 + len(c.past) - c.stops)
	v.sinks = append(v.sinks, journal.judgeJournal(), c.bot.account.judge(journal, copies+int(c.bot.lies.Load())),
		c.overlay.judge(journal, 0), c.ext.judge(journal, 0), c.console.judge(journal, copies), c.reader.account.judgeDigests(journal, copies))
	if c.logins > 0 {
		v.remarks = append(v.remarks, fmt.Sprintf("%d logins were lost to a kill in the middle of their renewal", c.logins))
	}
	return v
}

// inspect searches relay's log for what must not be there.
func (c *chaos) inspect(text string) {
	c.t.Helper()
	for _, fatal := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if at := strings.Index(text, fatal); at >= 0 {
			c.t.Errorf("relay broke: %s", text[at:min(at+2000, len(text))])
		}
	}
	c.noSecretsIn(text)
}

func (c *chaos) noSecretsIn(text string) {
	c.t.Helper()
	if err := c.findSecret(text); err != nil {
		c.t.Error(err)
	}
}

// save writes a file to the output folder.
func (c *chaos) save(suffix, text string) {
	err := os.MkdirAll(*chaosOut, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(*chaosOut, "chaos-"+*chaosJournal+suffix), []byte(text), 0o600)
	}
	if err != nil {
		c.t.Error(err)
	}
}

// logs are those of all relays.
func (c *chaos) logs() string {
	var b strings.Builder
	all := c.past
	if len(all) == 0 || all[len(all)-1] != c.relay {
		all = append(slices.Clip(all), c.relay)
	}
	for i, p := range all {
		fmt.Fprintf(&b, "--- relay %d\n%s\n", i+1, p.err.text())
	}
	return b.String()
}

// setSkew sets the error of relay's clock.
func (c *chaos) setSkew(d time.Duration) {
	c.t.Helper()
	next := c.skew + ".new"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%d", int64(d/time.Second)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.skew); err != nil {
		c.t.Fatal(err)
	}
}
