package filelog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

var errFault = errors.New("the disk has failed")

// After a sync that failed, what it was about is void: it is not readable, it is appended again in another segment, and stored once.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 4} {
		r := newRig(t, 0)
		l := r.open()
		add(t, l, 1, entries(1, first))
		n := uint64(first + 1)
		l.writer.sync = func(*os.File) error { return errFault }
		for range 3 {
			if _, err := l.Append(t.Context(), entries(int(n), 3)); !errors.Is(err, errFault) {
				t.Fatal(err)
			}
		}
		check(t, all(t, l, 10), n-1)
		l.writer.sync = disk.SyncData
		add(t, l, n, entries(int(n), 2))
		check(t, all(t, l, 10), n+1)
		closeLog(t, l)
		l = r.open()
		check(t, all(t, l, 10), n+1)
		add(t, l, n+2, entries(int(n+2), 2))
		check(t, all(t, l, 10), n+3)
		closeLog(t, l)
		if d := r.reported(); len(d) > 0 {
			t.Fatal(d)
		}
	}
}

// The same where not even the failed write can be cut: the next segment says that it is void.
func TestVoidFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 4))
	l.writer.sync = func(f *os.File) error {
		_ = f.Close() // then it cannot be cut
		return errFault
	}
	if _, err := l.Append(t.Context(), entries(900, 3)); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	l.writer.sync = disk.SyncData
	add(t, l, 5, entries(5, 2))
	check(t, all(t, l, 10), 6)
	closeLog(t, l)
	for range 2 {
		l = r.open()
		check(t, all(t, l, 10), 6)
		closeLog(t, l)
	}
	reader, err := OpenReader(t.Context(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	check(t, all(t, reader, 10), 6)
	closeLog(t, reader)
	sum, err := Verify(t.Context(), r.opts.Dir, func(f Finding) { t.Errorf("%+v", f) })
	if err != nil || sum.Records != 6 {
		t.Fatal(sum, err)
	}
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// A write that fails takes nothing away, and the next one works.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 4))
	_ = l.writer.f.Close()
	if _, err := l.Append(t.Context(), entries(5, 3)); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	add(t, l, 5, entries(5, 3))
	check(t, all(t, l, 10), 7)
	closeLog(t, l)
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// The log of attempts returns before it is durable, and is complete after Close.
func TestNoSync(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8<<10)
	r.opts.NoSync = true
	var mu sync.Mutex
	syncs := 0
	l := r.open()
	l.writer.sync = func(f *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		syncs++
		return disk.SyncData(f)
	}
	for i := range 300 {
		add(t, l, uint64(i+1), entries(i+1, 1))
	}
	check(t, all(t, l, 100), 300)
	reader, err := OpenReader(t.Context(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	for {
		changed := reader.Changed()
		if _, next := reader.Bounds(); next == 301 {
			break
		}
		<-changed
	}
	check(t, all(t, reader, 100), 300)
	closeLog(t, reader)
	add(t, l, 301, entries(301, 1))
	closeLog(t, l)
	if syncs > 50 {
		t.Errorf("%d syncs", syncs)
	}
	l = r.open()
	check(t, all(t, l, 100), 301)
	closeLog(t, l)
}

// With a load, segments are prepared ahead, and everything is where it was written.
func TestPreparedSegments(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1<<20)
	l := r.open()
	n := uint64(1)
	for range 40 {
		group := entries(int(n), 500)
		for i := range group {
			group[i].Account = strings.Repeat("a", 300)
		}
		add(t, l, n, group)
		n += 500
	}
	check(t, all(t, l, 1000), n-1)
	closeLog(t, l)
	for range 2 {
		l = r.open()
		check(t, all(t, l, 1000), n-1)
		add(t, l, n, entries(int(n), 1))
		n++
		closeLog(t, l)
	}
	if left, _ := filepath.Glob(filepath.Join(r.opts.Dir, "*"+temporarySuffix)); len(left) > 0 {
		t.Error(left)
	}
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// The segment that is written to is put back if it was removed.
func TestRemovedNewestWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 50))
	reader, err := OpenReader(t.Context(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, reader)
	check(t, all(t, reader, 100), 50)
	path := filepath.Join(r.opts.Dir, segment.Name(1))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	add(t, l, 51, entries(51, 50))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not there again")
		}
	}
	add(t, l, 101, entries(101, 50))
	check(t, all(t, l, 100), 150)
	check(t, all(t, reader, 100), 150)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l = r.open()
	check(t, all(t, l, 100), 150)
	closeLog(t, l)
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// A segment that was removed while relay runs is a gap, reported once.
func TestRemovedWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2<<10)
	l := r.open()
	add(t, l, 1, entries(1, 50))
	for i := 51; i < 80; i++ {
		add(t, l, uint64(i), entries(i, 1))
	}
	sealed := l.catalog.sealed()
	if err := os.Remove(filepath.Join(r.opts.Dir, segment.Name(sealed[1].first))); err != nil {
		t.Fatal(err)
	}
	l.files.forget(sealed[1].first)
	lost := journal.Range{First: sealed[1].first, Last: sealed[1].last}
	if err := l.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, all(t, l, 100), 79, lost)
	if d := r.reported(); len(d) != 1 || d[0].Numbers != lost {
		t.Fatal(d)
	}
	closeLog(t, l)
	l = r.open()
	check(t, all(t, l, 100), 79, lost)
	closeLog(t, l)
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// A damage that is found while relay runs costs one record, which is named, and its bytes are kept.
func TestDamageWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	for i := range 20 {
		add(t, l, uint64(i+1), entries(i+1, 1))
	}
	path := filepath.Join(r.opts.Dir, segment.Name(1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), `"text":"hello 144"`)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("#"), int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	lost := journal.Range{First: 12, Last: 12}
	for range 3 {
		check(t, all(t, l, 100), 20, lost)
	}
	if some, err := l.Read(t.Context(), 12, 1); err != nil || len(some) != 1 || some[0].Number != 13 {
		t.Fatal(some, err)
	}
	d := r.reported()
	if len(d) != 1 || d[0].Numbers != lost || d[0].Account != "mystream" || d[0].ID != "trt_12" || !d[0].Time.Equal(entry(12).Time) {
		t.Fatalf("%+v", d)
	}
	if kept, err := os.ReadFile(d[0].Copy); err != nil || !strings.Contains(string(kept), `#text":"hello 144"`) {
		t.Fatalf("%q, %v", kept, err)
	}
	closeLog(t, l)
}
