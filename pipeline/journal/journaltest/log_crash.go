package journaltest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// crashBatch returns the k-th batch of a child that appends until it is killed. It depends on the arguments only, so that
// the next child can append it again.
func crashBatch(seed uint64, k, largest int) []journal.Entry {
	random := rand.New(rand.NewPCG(seed, uint64(k))) //nolint:gosec // a test's
	n, size := 1+random.IntN(20), random.IntN(2500)
	if random.IntN(25) == 0 {
		n, size = 1+random.IntN(3), min(400<<10, largest)
	}
	all := make([]journal.Entry, n)
	for i := range all {
		all[i] = entry(i, size)
		all[i].ID = fmt.Sprintf("trt_%08d_%d", k, i)
		all[i].Time = epoch().Add(time.Duration(k) * time.Second)
	}
	return all
}

// ack is a child's report of an acknowledged batch.
type ack struct {
	Batch   int      `json:"batch"`
	Numbers []uint64 `json:"numbers"`
}

// appendUntilKilled runs in the child.
func (s logSuite) appendUntilKilled(t *testing.T, j task) {
	l, err := s.Open(t.Context(), j.Place)
	if err != nil {
		report("error open: %v", err)
		return
	}
	for k := j.From; ; k++ {
		numbers, err := l.Append(t.Context(), crashBatch(j.Seed, k, s.Largest))
		if err != nil {
			report("error %v", err)
			return
		}
		line, _ := json.Marshal(ack{k, numbers})
		report("ack %s", line)
	}
}

// crashLog tracks the batches that were acknowledged to children.
type crashLog struct {
	seed  uint64
	acked [][]uint64 // numbers of the acknowledged batches
	late  [][]uint64 // of the following batches, which may be stored
}

// take processes a line of a child. It reports false at an incomplete line, which is the last one.
func (c *crashLog) take(t *testing.T, line string, late bool) bool {
	t.Helper()
	text, ok := strings.CutPrefix(line, "ack ")
	if !ok {
		t.Log("child: ", line)
		return false
	}
	var a ack
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return false // incomplete
	}
	if a.Batch != len(c.acked)+len(c.late) {
		t.Fatalf("batch %d was acknowledged, want %d", a.Batch, len(c.acked)+len(c.late))
	}
	if late {
		c.late = append(c.late, a.Numbers)
	} else {
		c.acked = append(c.acked, a.Numbers)
	}
	return true
}

// run starts a child that continues where the last one ended, waits until that many batches are acknowledged, and ends
// it.
func (c *crashLog) run(t *testing.T, location string, batches int, end ending) {
	t.Helper()
	child := startChild(t, task{Place: location, From: len(c.acked), Seed: c.seed})
	deadline := time.After(2 * time.Minute)
	for range batches {
		select {
		case line, ok := <-child.lines:
			if !ok || !c.take(t, line, false) {
				t.Fatalf("the child has ended: %s\n%s", line, strings.Join(child.kill(), "\n"))
			}
		case <-deadline:
			t.Fatalf("a child got fewer than %d acknowledgements within two minutes", batches)
		}
	}
	certain, late := end(child)
	for i, line := range slices.Concat(certain, late) {
		if !c.take(t, line, i >= len(certain)) {
			break
		}
	}
}

// check checks that each acknowledged entry is stored once, with its number, and of the other entries only pending ones.
func (c *crashLog) check(t *testing.T, l journal.Log, largest int) {
	t.Helper()
	records := readAll(t, l, 1, 1000)
	last := uint64(0)
	for k, numbers := range c.acked {
		batch := crashBatch(c.seed, k, largest)
		checkNumbers(t, numbers, len(batch), last+1)
		last = slices.Max(numbers)
		if j := matching(records, numbers, batch); j < len(batch) {
			t.Fatalf("seed %d: entry %d of batch %d, acknowledged with number %d, is missing; instead of it: %s", c.seed, j, k, numbers[j], describe(records, j))
		}
		records = records[len(batch):]
	}
	for _, numbers := range c.late {
		batch := crashBatch(c.seed, len(c.acked), largest)
		if matching(records, numbers, batch) < len(batch) {
			break
		}
		c.acked, records = append(c.acked, numbers), records[len(batch):]
	}
	c.late = nil
	pending := crashBatch(c.seed, len(c.acked), largest)
	for j, r := range records {
		if j >= len(pending) || !sameEntry(r.Entry, pending[j]) {
			t.Fatalf("seed %d: unexpected number %d, %s, after the last acknowledged one", c.seed, r.Number, r.ID)
		}
	}
	if got := gaps(t, l); len(got) != 0 {
		t.Fatalf("seed %d: gaps although nothing is lost: %v", c.seed, got)
	}
}

// matching returns how many entries of a batch the records start with.
func matching(records []journal.Record, numbers []uint64, batch []journal.Entry) int {
	for j := range batch {
		if j >= len(records) || records[j].Number != numbers[j] || !sameEntry(records[j].Entry, batch[j]) {
			return j
		}
	}
	return len(batch)
}

// soon delays an ending by up to three milliseconds, so that it hits the child at a random point.
func soon(random *rand.Rand, end ending) ending {
	return func(c *child) (certain, late []string) {
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		return end(c)
	}
}

func describe(records []journal.Record, i int) string {
	if i >= len(records) {
		return "the end"
	}
	return fmt.Sprint(records[i].Number, " ", records[i].ID)
}

// killed repeatedly kills a process that appends. The next one starts with the batch that was not acknowledged.
func (s logSuite) killed(t *testing.T) {
	if j, ok := childTask(t); ok {
		s.appendUntilKilled(t, j)
		return
	}
	random, seed := randomness(t)
	c := crashLog{seed: seed}
	kills := times("RELAY_TEST_KILLS", 20)
	at := s.NewLocation(t)
	for round := range kills {
		c.run(t, at, random.IntN(60), soon(random, byKill))
		if s.Reader != nil && round%10 == 9 {
			s.checkByReader(t, at, &c)
		}
	}
	t.Logf("%d batches acknowledged, %d kills", len(c.acked), kills)
	l := s.open(t, at)
	defer func() { closeLog(t, l) }()
	c.check(t, l, s.Largest)
}

// checkByReader checks a log that was not repaired since its writer was killed.
func (s logSuite) checkByReader(t *testing.T, at string, c *crashLog) {
	t.Helper()
	l, err := s.Reader(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { closeLog(t, l) }()
	c.check(t, l, s.Largest)
}

// secondProcess reads the log while another process writes it, and is killed.
func (s logSuite) secondProcess(t *testing.T) {
	if j, ok := childTask(t); ok {
		s.appendUntilKilled(t, j)
		return
	}
	if s.Reader == nil {
		t.Skip("the engine's log cannot be read by a second process")
	}
	_, seed := randomness(t)
	c := crashLog{seed: seed}
	at := s.NewLocation(t)
	var reader journal.Log
	from, seen := uint64(1), 0
	for round := range 3 {
		c.run(t, at, 20, func(child *child) (certain, late []string) {
			if reader == nil {
				var err error
				if reader, err = s.Reader(t.Context(), at); err != nil {
					t.Fatal(err)
				}
			}
			from, seen = readBeside(t, reader, from, seen, seen+40)
			return byKill(child)
		})
		t.Logf("round %d: %d batches acknowledged, %d records read so far", round, len(c.acked), seen)
	}
	if !s.ReaderAppends {
		if _, err := reader.Append(t.Context(), entries(0, 1, 10)); err == nil {
			t.Error("the reader can append")
		}
	}
	c.check(t, reader, s.Largest)
	closeLog(t, reader)
	l := s.open(t, at)
	defer func() { closeLog(t, l) }()
	c.check(t, l, s.Largest)
}

// readBeside follows the log of another process until it has read until records. Each must be complete once the bounds
// include it.
func readBeside(t *testing.T, reader journal.Log, from uint64, seen, until int) (uint64, int) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for seen < until {
		changed := reader.Changed()
		_, next := reader.Bounds()
		part, err := reader.Read(t.Context(), from, 50)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) > 0 {
			from, seen = part[len(part)-1].Number+1, seen+len(part)
			continue
		}
		if from < next {
			t.Fatalf("nothing from %d on, although the next number is %d", from, next)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d records within two minutes, want %d", seen, until)
		}
	}
	return from, seen
}

// powerCut cuts the power of the disk while a process appends.
func (s logSuite) powerCut(t *testing.T) {
	if j, ok := childTask(t); ok {
		s.appendUntilKilled(t, j)
		return
	}
	if !s.InFolder {
		t.Skip("the engine's store is not in a folder")
	}
	random, seed := randomness(t)
	disk := disktest.NewDisk(t, 256<<20)
	c := crashLog{seed: seed}
	for range times("RELAY_TEST_POWER_CUTS", 3) {
		c.run(t, disk.Dir, random.IntN(300), soon(random, byPowerCut(disk)))
		l := s.open(t, disk.Dir)
		c.check(t, l, s.Largest)
		closeLog(t, l)
	}
	t.Logf("%d batches acknowledged", len(c.acked))
}

func (s logSuite) fullDisk(t *testing.T) {
	if !s.InFolder {
		t.Skip("the engine's store is not in a folder")
	}
	disk := disktest.NewDisk(t, 32<<20)
	l := s.open(t, disk.Dir)
	var w written
	w.add(t, l, 50, 1000)
	free := disk.Fill()
	for round := range 3 {
		batch := s.fill(t, l, &w, func(from int) []journal.Entry { return entries(from, 1+from%40, 20000) })
		w.check(t, l)
		if _, err := l.Append(t.Context(), batch); err == nil {
			t.Error("the disk is no longer full")
		}
		free()
		w.entries, w.numbers = append(w.entries, batch...), append(w.numbers, appendAll(t, l, batch)...)
		w.add(t, l, 10, 1000)
		w.check(t, l)
		if got := gaps(t, l); len(got) != 0 {
			t.Errorf("round %d: gaps although nothing is lost: %v", round, got)
		}
		if round == 1 {
			closeLog(t, l)
			l = s.open(t, disk.Dir)
			w.check(t, l)
		}
		free = disk.Fill()
	}
	if _, err := l.Append(t.Context(), s.largeBatch(len(w.entries))); err == nil {
		t.Error("40 MiB fit on a disk of 32 MiB")
	}
	closeLog(t, l) // it must work on a full disk
	free()
	l = s.open(t, disk.Dir)
	w.check(t, l)
	closeLog(t, l)
}
