package delivery

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	childEnv = "RELAY_DELIVERY_CHILD"
	fastEnv  = "RELAY_DELIVERY_CHILD_FAST" // set: its sink accepts everything, as fast as it can
)

// runChild does the work of a child process of a test, and reports whether this is one: it delivers what is in a folder, and writes the number and title of each
// event to stdout, until it is killed.
func runChild() bool {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return false
	}
	if err := deliverUntilKilled(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

func deliverUntilKilled(dir string) error {
	ctx, log := context.Background(), zerolog.Nop()
	stack, err := stacktest.Open(ctx, stacktest.Options{Dir: dir, Logger: log})
	if err != nil {
		return err
	}
	home, err := New(ctx, Config{Journal: stack.Journal, CursorFile: filepath.Join(dir, "cursors"), Logger: log, Metrics: stack.Metrics})
	if err != nil {
		return err
	}
	go func() { _ = home.Run(ctx) }()
	lane, err := home.Open(ctx, printer{fast: os.Getenv(fastEnv) != ""}, LaneConfig{
		Sink: "box", Strict: true, Log: log, Retry: schedule.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond},
		Probe: breaker.Policy{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	return lane.Run(ctx)
}

// A printer writes what it is given to stdout. If it is not fast, it takes some time and refuses every seventh event some times.
type printer struct{ fast bool }

func (p printer) Deliver(_ context.Context, records []pipeline.Record) (int, error) {
	r := records[0]
	if p.fast {
		_, err := fmt.Printf("%d %s %s\n", r.Seq, r.Account, r.ID)
		return 1, err
	}
	if r.Seq%7 == 0 && time.Now().UnixNano()%4 != 0 {
		return 0, fmt.Errorf("status 500")
	}
	time.Sleep(100 * time.Microsecond)
	_, err := fmt.Printf("%d %s %s\n", r.Seq, r.Account, r.ID)
	return 1, err
}

func (printer) Close() error { return nil }

// A process that is killed delivers again what it has settled in the last moments, loses nothing, and keeps the order.
func TestKilledWhileDelivering(t *testing.T) {
	const n, rounds = 3000, 8
	dir := t.TempDir()
	r := newRig(t, dir)
	var first box
	_, stop := r.lane(&first, LaneConfig{}) // from which on the sink is there
	check(t, stop(true))
	for i := range n {
		r.send(fmt.Sprint("acc", i%5), i, i+1)
	}
	r.eventually(func() error {
		if got := r.kept(); got != n {
			return fmt.Errorf("%d journaled", got)
		}
		return nil
	})
	r.stop()
	seen, newest, repeated := make(map[uint64]int), make(map[string]uint64), 0
	for round := 0; len(seen) < n; round++ {
		if round > 200 {
			t.Fatalf("%d of %d events after %d rounds", len(seen), n, round)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for count := 0; lines.Scan(); {
			fields := strings.Fields(lines.Text())
			number, err := strconv.ParseUint(fields[0], 10, 64)
			check(t, err)
			if seen[number]++; seen[number] > 1 {
				repeated++
			} else if newest[fields[1]] > number {
				t.Errorf("%d of %s came after %d", number, fields[1], newest[fields[1]])
			} else {
				newest[fields[1]] = number
			}
			if count++; count == 200+100*round && round < rounds || len(seen) == n {
				check(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		if stderr.Len() > 0 {
			t.Fatal(stderr.String())
		}
	}
	t.Logf("%d events came again", repeated)
	for number := range uint64(n) {
		if seen[number+1] == 0 {
			t.Errorf("number %d never came", number+1)
		}
	}
}

// A process that is killed while it delivers some 50,000 events a second repeats those of a few milliseconds, a few hundred, not the 4,000 of a tenth of
// a second. A busy disk may keep it from saving at some of the kills, but not at most of them.
func TestKilledWhileCatchingUp(t *testing.T) {
	const n, rounds = 60000, 9
	dir := t.TempDir()
	r := newRig(t, dir)
	var first box
	_, stop := r.lane(&first, LaneConfig{})
	check(t, stop(true))
	for at := 0; at < n; {
		var entries []journal.Entry
		for range 1000 {
			e := newEvent("acc", pipeline.OriginLive, at)
			entries = append(entries, entryOf(t, &e))
			at++
		}
		r.put(entries...)
	}
	r.stop()
	newest, repeats := uint64(0), []int(nil)
	for range rounds {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+dir, fastEnv+"=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		lines, repeated := bufio.NewScanner(out), 0
		for count := 0; lines.Scan(); count++ {
			number, err := strconv.ParseUint(strings.Fields(lines.Text())[0], 10, 64)
			check(t, err)
			switch {
			case count == 0 && number > newest+1:
				t.Fatalf("goes on with %d after %d: events are lost", number, newest)
			case number <= newest:
				repeated++
			}
			newest = max(newest, number)
			if count == 4000 {
				check(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		repeats = append(repeats, repeated)
	}
	t.Logf("repeated %v", repeats)
	sorted := slices.Sorted(slices.Values(repeats[1:]))
	if got := sorted[len(sorted)/2]; got > 2000 {
		t.Errorf("%d events are repeated, want a few hundred: %v", got, repeats)
	}
}
