//go:build unix

package filelog

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A full disk costs nothing and stops nothing for longer than it is full.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !disktest.InChild(t) {
		return
	}
	for _, segment := range []int64{0, 4 << 10} {
		r := newRig(t, segment)
		l := r.open()
		n := 1
		for _, size := range []uint64{1, 2000, 5000} {
			add(t, l, uint64(n), entries(n, 10))
			n += 10
			free := disktest.Fill(t, size)
			for range 3 {
				if _, err := l.Append(t.Context(), entries(n, 100)); err == nil {
					n += 100
				}
			}
			check(t, all(t, l, 100), uint64(n-1))
			free()
			add(t, l, uint64(n), entries(n, 10))
			n += 10
			check(t, all(t, l, 100), uint64(n-1))
		}
		closeLog(t, l)
		l = r.open()
		check(t, all(t, l, 100), uint64(n-1))
		closeLog(t, l)
		if d := r.reported(); len(d) > 0 {
			t.Fatal(d)
		}
	}
}

const killEnv = "RELAY_TEST_FILELOG_KILL"

// A process that is killed loses nothing that it was acknowledged, stores nothing twice, and another one reads meanwhile what is durable.
func TestKilled(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(killEnv); dir != "" {
		appendForever(t, dir)
		return
	}
	dir := t.TempDir()
	acked := uint64(0)
	for range 8 {
		acked = killOne(t, dir, acked)
		l, err := Open(t.Context(), Options{Dir: dir, SegmentSize: 64 << 10, Damaged: func(d Damage) { t.Errorf("%+v", d) }})
		if err != nil {
			t.Fatal(err)
		}
		_, next := l.Bounds()
		if next <= acked {
			t.Fatalf("%d was acknowledged, and the next number is %d", acked, next)
		}
		check(t, all(t, l, 1000), next-1)
		closeLog(t, l)
		acked = next - 1
	}
}

func appendForever(t *testing.T, dir string) {
	l, err := Open(t.Context(), Options{Dir: dir, SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	_, next := l.Bounds()
	for n := int(next); ; {
		group := entries(n, 1+rand.IntN(40))
		numbers, err := l.Append(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		n += len(group)
		fmt.Println("acked", numbers[len(numbers)-1])
	}
}

// killOne runs a child, reads along, kills it, and returns the newest number that it was acknowledged.
func killOne(t *testing.T, dir string, acked uint64) uint64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // it was killed
	var reader journal.Log
	lines, killed := 0, false
	for scan := bufio.NewScanner(out); scan.Scan(); lines++ {
		var n uint64
		if _, err := fmt.Sscanf(scan.Text(), "acked %d", &n); err != nil {
			continue
		}
		acked = max(acked, n)
		if reader == nil {
			if reader, err = OpenReader(t.Context(), Options{Dir: dir, Damaged: func(d Damage) { t.Errorf("%+v", d) }}); err != nil {
				t.Error(err)
				break
			}
		}
		if _, next := reader.Bounds(); next <= n && !killed {
			t.Errorf("%d is acknowledged, and the reader sees up to %d", n, next-1)
		}
		if lines > 20+rand.IntN(20) && !killed {
			killed = true
			time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Process.Kill()
	if reader == nil {
		t.Fatal("the child has appended nothing")
	}
	_, next := reader.Bounds()
	check(t, all(t, reader.(*Log), 300), next-1)
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	return acked
}

// No file of the log is a symbolic link, and none is readable for others.
func TestFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, minSegment)
	r.opts.Dir = filepath.Join(r.opts.Dir, "journal")
	l := r.open()
	add(t, l, 1, entries(1, 2))
	if _, err := Open(t.Context(), r.opts); err == nil {
		t.Error("two write the same log")
	}
	closeLog(t, l)
	if info, err := os.Stat(r.opts.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info.Mode(), err)
	}
	names, err := os.ReadDir(r.opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(r.opts.Dir, name.Name())
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(name, info.Mode(), err)
		}
		away := filepath.Join(t.TempDir(), "away")
		if err := os.Rename(path, away); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(away, path); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), r.opts)
		if err == nil {
			check(t, all(t, l, 10), 2)
			closeLog(t, l)
			if name.Name() != gapsName {
				t.Errorf("%s is followed", name)
			}
		} else if !errors.Is(err, syscall.ELOOP) && !strings.Contains(err.Error(), "regular file") {
			t.Error(err)
		}
		_ = os.Remove(path)
		if err := os.Rename(away, path); err != nil {
			t.Fatal(err)
		}
	}
}
