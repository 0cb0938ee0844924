package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// slowDisk measures whether relay keeps up on a disk with slow fsyncs.
func (b *bench) slowDisk(ctx context.Context) ([]result, error) {
	const load, sustained = 5000, 0.98
	count := b.pick(4*load, 200)
	binary, err := b.buildSlow(ctx)
	if err != nil {
		return nil, err
	}
	r := result{name: "fsync", title: "A slow disk", chart: chart{unit: fmt.Sprintf("events a second, of %s that arrive", whole(load))}}
	r.text = fmt.Sprintf("%s treats arrive at %s/s and go to JetStream: relay writes each one to its journal, and then to the stream that the sink publishes to. Every fsync takes that "+
		"much longer, and so does every write to a file opened for synchronous writing (O_SYNC). Medians of %d runs. A rate is sustained if at least %.0f%% of it arrives.",
		whole(count), whole(load), b.runs, sustained*100)
	r.table.columns = []string{"an fsync takes", "events/s", "sustained", "p50 ms", "p99 ms", "CPU ms for 1,000"}
	for _, more := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond} {
		c := b.relayAs(sinkNATS, setup{binary: binary, sinks: "  overlay: {type: nats}", env: []string{slowEnv + "=" + strconv.FormatInt(more.Nanoseconds(), 10)}})
		c.name = fmt.Sprintf("relay, fsync +%d ms", more.Milliseconds())
		mids, err := b.medians(ctx, []candidate{c}, count, load)
		if err != nil {
			return nil, err
		}
		m, yes := mids[0], "no"
		if m.rate >= sustained*load {
			yes = "yes"
		}
		r.table.add(fmt.Sprintf("+%d ms", more.Milliseconds()), number(m.rate), yes, milliseconds(m.quantil[0]), milliseconds(m.quantil[1]), milliseconds(m.cpu))
		r.chart.bars = append(r.chart.bars, bar{c.name, m.rate, c.ours})
	}
	return []result{r}, nil
}

// slowEnv is the variable with the extra duration of an fsync, in nanoseconds, in a program from buildSlow.
const slowEnv = "RELAY_BENCH_FSYNC"

// slowSource is added to package syscall, which makes every fsync: those of package os, and the fdatasync of the journal
// and bbolt. That package can import neither time nor strconv. The thread sleeps, as in a real fsync.
const slowSource = `package syscall

func sleepForSync() {
	text, _ := Getenv("` + slowEnv + `")
	var takes int64
	for _, digit := range []byte(text) {
		takes = takes*10 + int64(digit-'0')
	}
	if takes > 0 {
		left := NsecToTimespec(takes)
		for Nanosleep(&left, &left) == EINTR {
		}
	}
}
`

// buildSlow builds a relay that sleeps before each fsync, and returns its path.
func (b *bench) buildSlow(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp(b.tmp, "slow")
	if err != nil {
		return "", err
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the sources of Go: %w", err)
	}
	from := filepath.Join(strings.TrimSpace(string(root)), "src", "syscall")
	const sleeps = "\tsleepForSync()\n"
	files := map[string]string{filepath.Join(from, "slowsync_linux.go"): slowSource}
	for _, edit := range []struct{ file, after, add string }{
		{"zsyscall_linux_" + runtime.GOARCH + ".go", "func Fsync(fd int) (err error) {\n", sleeps},
		{"zsyscall_linux_" + runtime.GOARCH + ".go", "func Fdatasync(fd int) (err error) {\n", sleeps},
		// nats-server reopens such a file for each write.
		{"syscall_linux.go", "func Open(path string, mode int, perm uint32) (fd int, err error) {\n", "\tif mode&O_SYNC == O_SYNC {\n\t" + sleeps + "\t}\n"},
	} {
		path := filepath.Join(from, edit.file)
		source, ok := files[path]
		if !ok {
			text, err := os.ReadFile(path) //nolint:gosec // Go's own source
			if err != nil {
				return "", err
			}
			source = string(text)
		}
		if n := strings.Count(source, edit.after); n != 1 {
			return "", fmt.Errorf("slow down package syscall of %s: %s has %d matches instead of one: correct buildSlow; looked for:\n%s", runtime.Version(), path, n, edit.after)
		}
		files[path] = strings.Replace(source, edit.after, edit.after+edit.add, 1)
	}
	list, err := writeOverlay(dir, files)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "relay")
	return binary, b.build(ctx, binary, "./cmd/relay", "-overlay", list)
}

// writeOverlay writes replacements for the files of these paths, and returns the path of the list for go build -overlay.
func writeOverlay(dir string, files map[string]string) (string, error) {
	replace := make(map[string]string)
	for path, text := range files {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, text, 0o600)
}
