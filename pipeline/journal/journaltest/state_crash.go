package journaltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/pipeline/journal"
)

const crashWriters = 4

// crashChange returns the n-th change of a writer in a child process. It depends on the arguments only.
func crashChange(seed uint64, writer, n int) (key, value string, remove bool) {
	random := rand.New(rand.NewPCG(seed, uint64(writer<<32|n))) //nolint:gosec // a test's
	key = fmt.Sprintf("%s.%d.%d", []string{"cursor", "sink", "dead", "retry"}[random.IntN(4)], writer, random.IntN(10))
	size := random.IntN(300)
	if random.IntN(40) == 0 {
		size = 50_000
	}
	return key, fmt.Sprint(n, " ", strings.Repeat("x", size)), random.IntN(6) == 0
}

// stateAck is a child's report of an acknowledged change.
type stateAck struct {
	Writer   int    `json:"writer"`
	N        int    `json:"n"`
	Revision uint64 `json:"revision"`
}

// changeUntilKilled runs in the child.
func (s stateSuite) changeUntilKilled(t *testing.T, j task) {
	st, err := s.Open(t.Context(), j.Place)
	if err != nil {
		report("error open: %v", err)
		return
	}
	var writers sync.WaitGroup
	for writer := range crashWriters {
		writers.Go(func() {
			for n := j.From; ; n++ {
				key, value, remove := crashChange(j.Seed, writer, n)
				var revision uint64
				var err error
				if remove {
					err = st.Delete(t.Context(), key)
				} else {
					revision, err = st.Put(t.Context(), key, []byte(value), journal.AnyRevision)
				}
				if err != nil {
					report("error %v", err)
					return
				}
				line, _ := json.Marshal(stateAck{writer, n, revision})
				report("ack %s", line)
			}
		})
	}
	writers.Wait()
}

// crashState tracks the expected state after the changes of the children. Each writer has its own keys.
type crashState struct {
	seed     uint64
	values   [crashWriters]map[string]string
	next     [crashWriters]int // the first change whose outcome is unknown
	open     [crashWriters]int // the first change that cannot have been made
	revision uint64
}

// take processes a line of a child.
func (c *crashState) take(t *testing.T, line string, late bool) {
	t.Helper()
	text, ok := strings.CutPrefix(line, "ack ")
	var a stateAck
	if !ok || json.Unmarshal([]byte(text), &a) != nil {
		t.Log("child: ", line)
		return
	}
	if a.N != c.open[a.Writer] {
		t.Fatalf("change %d of writer %d was acknowledged, want %d", a.N, a.Writer, c.open[a.Writer])
	}
	c.open[a.Writer]++
	if !late {
		c.apply(a.Writer, c.values[a.Writer])
		c.revision = max(c.revision, a.Revision)
	}
}

// apply makes the next change of a writer.
func (c *crashState) apply(writer int, values map[string]string) {
	key, value, remove := crashChange(c.seed, writer, c.next[writer])
	if remove {
		delete(values, key)
	} else {
		values[key] = value
	}
	c.next[writer]++
}

// check compares the state with the acknowledged changes. The pending change of each writer may or may not be in it.
func (c *crashState) check(t *testing.T, st journal.State) {
	t.Helper()
	var got [crashWriters]map[string]string
	for writer := range got {
		got[writer] = map[string]string{}
	}
	if err := st.List(t.Context(), "", func(key string, value []byte) error {
		writer, err := strconv.Atoi(strings.Split(key, ".")[1])
		if err != nil || writer >= crashWriters {
			t.Fatalf("the key %q", key)
		}
		got[writer][key] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for writer := range crashWriters {
		for !maps.Equal(got[writer], c.values[writer]) {
			if c.next[writer] > c.open[writer] { // one pending change
				t.Fatalf("seed %d: writer %d, up to change %d: %s", c.seed, writer, c.open[writer], difference(got[writer], c.values[writer]))
			}
			c.apply(writer, c.values[writer])
		}
	}
	revision := put(t, st, "revision", "x", journal.AnyRevision)
	if revision <= c.revision {
		t.Fatalf("seed %d: revision %d after %d", c.seed, revision, c.revision)
	}
	if err := st.Delete(t.Context(), "revision"); err != nil {
		t.Fatal(err)
	}
}

func difference(got, want map[string]string) string {
	for key, value := range want {
		if got[key] != value {
			return fmt.Sprintf("%s is %.20q, want %.20q", key, got[key], value)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("%s is %.20q, want none", key, value)
		}
	}
	return "no difference"
}

// crash runs children that change the state, ends each in the given way, and checks the state.
func (s stateSuite) crash(t *testing.T, location string, rounds int, end ending) {
	t.Helper()
	random, seed := randomness(t)
	c := crashState{seed: seed}
	for writer := range c.values {
		c.values[writer] = map[string]string{}
	}
	for range rounds {
		from := slices.Max(c.open[:]) + 2 // no pending change of the previous round may reappear
		for writer := range c.next {
			c.next[writer], c.open[writer] = from, from
		}
		child := startChild(t, task{Place: location, From: from, Seed: seed})
		deadline := time.After(2 * time.Minute)
		for range random.IntN(150) {
			select {
			case line, ok := <-child.lines:
				if !ok || strings.HasPrefix(line, "error") {
					t.Fatalf("the child has ended: %s\n%s", line, strings.Join(child.kill(), "\n"))
				}
				c.take(t, line, false)
			case <-deadline:
				t.Fatal("a child got too few acknowledgements within two minutes")
			}
		}
		certain, late := soon(random, end)(child)
		for i, line := range slices.Concat(certain, late) {
			c.take(t, line, i >= len(certain))
		}
		st := s.open(t, location)
		c.check(t, st)
		closeState(t, st)
	}
	t.Logf("up to %d changes per writer", slices.Max(c.next[:]))
}

func (s stateSuite) killed(t *testing.T) {
	if j, ok := childTask(t); ok {
		s.changeUntilKilled(t, j)
		return
	}
	s.crash(t, s.NewLocation(t), times("RELAY_TEST_KILLS", 20), byKill)
}

func (s stateSuite) powerCut(t *testing.T) {
	if j, ok := childTask(t); ok {
		s.changeUntilKilled(t, j)
		return
	}
	if !s.InFolder {
		t.Skip("the engine's store is not in a folder")
	}
	disk := disktest.NewDisk(t, 64<<20)
	s.crash(t, disk.Dir, times("RELAY_TEST_POWER_CUTS", 3), byPowerCut(disk))
}

// secondOpener opens the state in a second process while this one has it open.
func (s stateSuite) secondOpener(t *testing.T) {
	if j, ok := childTask(t); ok {
		st, err := s.Open(t.Context(), j.Place)
		if err == nil {
			err = st.Close()
		}
		report("opened: %v", err)
		return
	}
	location := s.NewLocation(t)
	st := s.open(t, location)
	put(t, st, "key", "value", 0)
	lines := startChild(t, task{Place: location}).wait()
	if len(lines) != 1 {
		t.Fatalf("child: %q", lines)
	}
	if opened := lines[0] == "opened: <nil>"; opened == s.OneProcess {
		t.Errorf("child: %q", lines[0])
	}
	t.Log(lines[0])
	put(t, st, "key", "again", journal.AnyRevision)
	closeState(t, st)
	if lines := startChild(t, task{Place: location}).wait(); !slices.Equal(lines, []string{"opened: <nil>"}) {
		t.Errorf("after closing, child: %q", lines)
	}
}

func (s stateSuite) fullDisk(t *testing.T) {
	if !s.InFolder {
		t.Skip("the engine's store is not in a folder")
	}
	disk := disktest.NewDisk(t, 32<<20)
	s.full(t, disk.Dir, disk.Fill)
}

// full tests a disk that becomes full and then has free space again.
func (s stateSuite) full(t *testing.T, location string, fill func() (free func())) {
	t.Helper()
	st := s.open(t, location)
	want := map[string]string{}
	set := func(key, value string) error {
		_, err := st.Put(t.Context(), key, []byte(value), journal.AnyRevision)
		if err == nil {
			want[key] = value
		}
		return err
	}
	check := func() {
		t.Helper()
		for key, value := range want {
			checkValue(t, st, key, value)
		}
	}
	for round := range 3 {
		if err := set("sink.a", strconv.Itoa(round)); err != nil {
			t.Fatal(err)
		}
		free := fill()
		var err error
		for i := 0; err == nil && i < 1000; i++ {
			err = set(fmt.Sprint("dead.", round, ".", i), strings.Repeat("x", 100_000))
		}
		if err == nil || errors.Is(err, journal.ErrRevision) {
			t.Errorf("a full disk: %v", err)
		}
		t.Log("as expected: ", err)
		check()
		free()
		for i := range 20 {
			if err := set(fmt.Sprint("dead.", round, ".", i), strings.Repeat("y", 10_000)); err != nil {
				t.Fatal(err)
			}
		}
		check()
	}
	free := fill()
	if err := st.Close(); err != nil {
		t.Log("closed on a full disk: ", err)
	}
	free()
	st = s.open(t, location)
	check()
	closeState(t, st)
}
