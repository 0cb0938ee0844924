package delivery

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

const childEnv = "RELAY_DELIVERY_CHILD"

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
	lane, err := home.Open(ctx, printer{}, LaneConfig{
		Sink: "box", Strict: true, Log: log, Retry: schedule.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond},
		Probe: breaker.Policy{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	return lane.Run(ctx)
}

// A printer writes what it is given to stdout, and refuses every seventh event some times.
type printer struct{}

func (printer) Deliver(_ context.Context, records []pipeline.Record) (int, error) {
	r := records[0]
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
