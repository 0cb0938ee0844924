package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/jetstream"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// journalFaults are the faults of the journal's files, or of its servers.
func (c *chaos) journalFaults(longest time.Duration) []*fault {
	const second = time.Second
	all := []*fault{
		c.cursorLost("sinks' places removed from their file", func() {
			if err := os.Remove(c.data(datadir.CursorsFile)); err != nil {
				c.t.Error(err)
			}
		}),
		c.cursorLost("sinks' places removed from the journal's state", c.removeCursors),
	}
	if c.cluster == nil {
		return append(all, c.cutBack("journal cut back", false, c.stopRelay), c.cutBack("journal cut back, webhook down", true, c.stopRelay),
			c.cutBack("journal cut back, webhook down, relay killed", true, c.killRelay))
	}
	node := c.cluster[c.random.IntN(len(c.cluster))]
	return append(all,
		&fault{name: "node of the journal killed", shortest: second, longest: longest, begin: node.Kill, end: node.Restart},
		&fault{name: "node of the journal frozen", shortest: second, longest: longest, begin: node.Freeze, end: node.Thaw},
		&fault{
			name: "all nodes of the journal killed", shortest: second / 10, longest: longest, begin: c.killCluster, end: c.startCluster,
		},
		c.restored("older copy of the journal's servers put back", false),
		c.restored("older copy of the journal's servers put back, webhook down", true),
	)
}

// stopRelay stops relay as an operator does.
func (c *chaos) stopRelay() {
	c.t.Helper()
	c.watch()
	c.awaitSignals()
	c.relay.signal(syscall.SIGTERM)
	if code := c.relay.exit(); code != exit.OK {
		c.t.Errorf("exit code %d after SIGTERM:\n%s", code, lastLine(c.relay))
	}
	c.past = append(c.past, c.relay)
	c.stops++
}

// journaled reads the treats in the journal while relay writes nothing, and notes their numbers.
func (c *chaos) journaled() (ids map[string]bool) {
	c.t.Helper()
	ids = make(map[string]bool)
	log, end := c.openLog()
	defer end()
	for at, next := log.Bounds(); at < next; {
		records, err := log.Read(c.t.Context(), at, 1000)
		if err != nil {
			c.t.Fatalf("read number %d of the journal: %v", at, err)
		}
		if len(records) == 0 { // the newest are lost
			break
		}
		for _, r := range records {
			if at = r.Number + 1; r.Kind == journal.Treat {
				ids[r.ID] = true
				c.ledger.journaled(r.ID, r.Number)
			}
		}
	}
	return ids
}

// openLog opens the journal for reading, beside relay.
func (c *chaos) openLog() (log journal.Log, end func()) {
	c.t.Helper()
	if c.cluster == nil {
		log, err := filelog.OpenReader(c.t.Context(), filelog.Options{Dir: c.data(datadir.JournalDir)})
		if err != nil {
			c.t.Fatal(err)
		}
		return log, func() { _ = log.Close() }
	}
	var conn *nats.Conn
	eventually(c.t, func() (err error) {
		if conn, err = nats.Connect(c.journalURL(), append(jetstream.ConnOptions(), nats.MaxReconnects(-1))...); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
		defer cancel()
		server, state, err := jetstream.Attach(ctx, jetstream.Options{Conn: conn, Log: zerolog.Nop()})
		if err != nil {
			conn.Close()
			return err
		}
		log, end = server, func() {
			_, _ = state.Close(), server.Close()
			conn.Close()
		}
		return nil
	})
	return log, end
}

// returned waits until the journal has all of these treats, which it had before. Whoever had one must not get it again by then.
func (c *chaos) returned(ids map[string]bool) {
	c.t.Helper()
	for began, told := time.Now(), 1; ; c.sleep(500 * time.Millisecond) {
		missing := len(ids)
		for id := range c.journaled() {
			if ids[id] {
				missing--
			}
		}
		if missing == 0 {
			return
		}
		if time.Since(began) > recoveryLimit {
			c.t.Errorf("journal has not got back %d of %d treats within %v", missing, len(ids), recoveryLimit)
			return
		}
		if time.Since(began) > time.Duration(told)*10*time.Second {
			told++
			c.note("journal still lacks %d of %d treats", missing, len(ids))
		}
		c.supervise()
	}
}

// repeats are how often these sinks got what they had got before.
func (c *chaos) repeats(of ...*account) string {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	var all []string
	for _, a := range of {
		all = append(all, fmt.Sprintf("%s %d", a.name, a.again))
	}
	return strings.Join(all, ", ")
}

// cutBack ends relay, cuts off the newest of its journal, and starts it.
func (c *chaos) cutBack(name string, botDown bool, end func()) *fault {
	var before map[string]bool
	var repeats string
	all := c.ledger.sinks
	return &fault{
		name: name, shortest: 2 * time.Second, longest: max(*chaosLongest, 2*time.Second),
		begin: func() {
			if repeats = c.repeats(all...); botDown {
				c.bot.leave()
			}
		},
		during: func(lasts time.Duration) {
			c.sleep(lasts)
			stops := c.stops
			end()
			if stops == c.stops { // killed: what was under way may come again
				all = nil
				repeats = c.repeats()
			}
			before = c.journaled()
			c.cutSegment()
			after := c.journaled()
			c.note("%d of %d treats are cut off the journal", len(before)-len(after), len(before))
			if botDown {
				c.bot.start()
			}
			c.startRelay()
		},
		end: func() {
			c.returned(before)
			c.noRepeats(name, repeats, all...)
		},
	}
}

// noRepeats says that these sinks have got nothing again: nothing was killed.
func (c *chaos) noRepeats(name, before string, of ...*account) {
	c.t.Helper()
	if after := c.repeats(of...); after != before {
		c.t.Errorf("%s: what sinks had got came again: %s, and before %s", name, after, before)
	}
}

// cutSegment cuts up to a megabyte off the newest segment, anywhere.
func (c *chaos) cutSegment() {
	c.t.Helper()
	segments := c.segments()
	newest := segments[len(segments)-1]
	content, err := os.ReadFile(newest)
	if err != nil {
		c.t.Fatal(err)
	}
	written := len(bytes.TrimRight(content, "\x00"))
	if err := os.Truncate(newest, int64(written-c.random.IntN(min(written, 1<<20)))); err != nil {
		c.t.Fatal(err)
	}
}

// prepared reports whether the journal's newest segment has room that was taken ahead, or the next one is ready.
func (c *chaos) prepared() bool {
	c.t.Helper()
	if _, err := os.Stat(c.data(datadir.JournalDir, "spare.tmp")); err == nil {
		return true
	}
	segments := c.segments()
	newest, err := os.Open(segments[len(segments)-1])
	if err != nil {
		c.t.Fatal(err)
	}
	defer newest.Close()
	end := make([]byte, 4096)
	if _, err := newest.Seek(-int64(len(end)), io.SeekEnd); err != nil {
		return false // it is smaller
	}
	_, err = io.ReadFull(newest, end)
	return err == nil && len(bytes.Trim(end, "\x00")) == 0
}

// cursorLost takes one of the two copies of the sinks' places away while relay does not run.
func (c *chaos) cursorLost(name string, remove func()) *fault {
	return &fault{name: name, begin: func() {}, end: func() {}, during: func(time.Duration) {
		repeats, killed := c.repeats(c.ledger.sinks...), c.random.IntN(2) == 0
		if killed {
			c.killRelay()
		} else {
			c.stopRelay()
		}
		remove()
		c.startRelay()
		if !killed {
			c.sleep(time.Second)
			c.noRepeats(name, repeats, c.ledger.sinks...)
		}
	}}
}

// removeCursors deletes the sinks' places from the state.
func (c *chaos) removeCursors() {
	c.t.Helper()
	var state journal.State
	if c.cluster == nil {
		files, err := statefile.Open(c.t.Context(), statefile.Options{Dir: c.data(datadir.JournalDir)})
		if err != nil {
			c.t.Fatal(err)
		}
		state = files
		defer files.Close()
	} else {
		conn, err := nats.Connect(c.journalURL(), jetstream.ConnOptions()...)
		if err != nil {
			c.t.Fatal(err)
		}
		defer conn.Close()
		log, bucket, err := jetstream.Attach(c.t.Context(), jetstream.Options{Conn: conn, Log: zerolog.Nop()})
		if err != nil {
			c.t.Fatal(err)
		}
		state = bucket
		defer func() { _, _ = bucket.Close(), log.Close() }()
	}
	var keys []string
	if err := state.List(c.t.Context(), journal.CursorKey(""), func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	for _, key := range keys {
		if err := state.Delete(c.t.Context(), key); err != nil {
			c.t.Fatal(err)
		}
	}
	if len(keys) < 4 {
		c.t.Errorf("only %d places of sinks are in the state: %q", len(keys), keys)
	}
}

// journalURL names the nodes of the journal's cluster.
func (c *chaos) journalURL() string {
	var all []string
	for _, node := range c.cluster {
		all = append(all, node.URL())
	}
	return strings.Join(all, ",")
}

func (c *chaos) killCluster() {
	for _, node := range c.cluster {
		node.Kill()
	}
}

// startCluster starts all nodes at once: none is ready alone.
func (c *chaos) startCluster() {
	var starting sync.WaitGroup
	for _, node := range c.cluster {
		starting.Go(node.Restart)
	}
	starting.Wait()
}

// restored puts an older copy of all that the journal's servers hold in its place, while relay runs.
func (c *chaos) restored(name string, botDown bool) *fault {
	var before map[string]bool
	copyOf := func(i int) string { return filepath.Join(c.t.TempDir(), fmt.Sprint("node", i)) }
	var copies []string
	var repeats string
	of := []*account{c.console, c.ext, c.overlay} // a delivery to the webhook may time out while relay stands still
	if botDown {
		of = c.ledger.sinks
	}
	return &fault{
		name: name, shortest: 2 * time.Second, longest: max(*chaosLongest, 2*time.Second),
		begin: func() {
			if repeats = c.repeats(of...); botDown {
				c.bot.leave()
			}
			for _, node := range c.cluster {
				node.Stop()
			}
			copies = nil
			for i, node := range c.cluster {
				copies = append(copies, copyOf(i))
				if err := os.CopyFS(copies[i], os.DirFS(node.Dir())); err != nil {
					c.t.Fatal(err)
				}
			}
			c.startCluster()
		},
		during: func(lasts time.Duration) {
			c.awaitJournaled()
			c.sleep(lasts)
			c.relay.signal(syscall.SIGSTOP) // so that what the journal holds is what is read here
			before = c.journaled()
			for i, node := range c.cluster {
				node.Kill()
				if err := os.RemoveAll(node.Dir()); err != nil {
					c.t.Fatal(err)
				}
				if err := os.CopyFS(node.Dir(), os.DirFS(copies[i])); err != nil {
					c.t.Fatal(err)
				}
			}
			c.startCluster()
			after := c.journaled()
			c.note("%d of %d treats are gone from the journal", len(before)-len(after), len(before))
			c.relay.signal(syscall.SIGCONT)
			if botDown {
				c.bot.start()
			}
		},
		end: func() {
			c.returned(before)
			c.noRepeats(name, repeats, of...)
		},
	}
}

// awaitJournaled waits until what was emitted by now is on stdout, and so in the journal.
func (c *chaos) awaitJournaled() {
	c.t.Helper()
	until := c.ledger.count()
	eventually(c.t, func() error {
		if behind := c.ledger.behind(until); strings.Contains(behind, c.console.name) {
			return fmt.Errorf("the journal takes nothing: %s", behind)
		}
		return nil
	})
}
