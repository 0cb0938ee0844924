package statefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

func openState(t *testing.T, dir string, log io.Writer) *State {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// realisticState makes a state as a relay has it after a while, closes it, and returns what it holds.
func realisticState(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	s := openState(t, dir, t.Output())
	held := map[string][]byte{}
	put := func(key string, size int) {
		value := bytes.Repeat([]byte(key+" "), size/len(key)+1)
		if _, err := s.Put(t.Context(), key, value, journal.AnyRevision); err != nil {
			t.Fatal(err)
		}
		held[key] = value
	}
	for i := range 3 {
		put(journal.SinkKey(fmt.Sprint("sink", i)), 300)
		put(journal.DigestKey(fmt.Sprint("sink", i)), 60)
		put(journal.HistoryKey(fmt.Sprint("account", i)), 9000)
		put(journal.CursorKey(fmt.Sprint("sink", i)), 40)
	}
	put(journal.HashKey, 32)
	for i := range 60 {
		put(fmt.Sprint(deadPrefix, i), 500)
		put(journal.RetryKey("sink1", uint64(i)), 50)
	}
	put(derivedKey, 8)
	for i := range 20 {
		put(journal.CursorKey("sink1"), 40+i)
		if err := s.Delete(t.Context(), fmt.Sprint(deadPrefix, i)); err != nil {
			t.Fatal(err)
		}
		delete(held, fmt.Sprint(deadPrefix, i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return held
}

// realisticFiles returns what such a state holds, and the content of its files by name.
func realisticFiles(t *testing.T) (held, files map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	held, files = realisticState(t, dir), map[string][]byte{}
	for _, name := range []string{fileName, copyName} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	return held, files
}

// checkStateDamage opens a damaged state and checks that nothing is lost in silence.
func checkStateDamage(t *testing.T, dir string, held map[string][]byte) {
	t.Helper()
	var log bytes.Buffer
	s := openState(t, dir, &log)
	defer s.Close()
	lost := s.Damaged()
	anyDerived := slices.Contains(lost, derivedKey)
	for key, want := range held {
		value, _, err := s.Get(t.Context(), key)
		switch {
		case err == nil && bytes.Equal(value, want):
			if slices.Contains(lost, key) {
				t.Errorf("%s is intact, and said to be damaged", key)
			}
		case copying(key) == kindValue:
			t.Errorf("%s is lost: %v", key, err)
		case err == nil && !anyDerived: // else it may be that of the last transaction but one
			t.Errorf("%s has another value", key)
		case err == nil:
		case errors.Is(err, journal.ErrDamagedValue) && slices.Contains(lost, key):
		case errors.Is(err, journal.ErrNoKey) && copying(key) == 0 && anyDerived:
		default:
			t.Errorf("%s is lost in silence: %v; damaged: %v", key, err, lost)
		}
	}
	listed := map[string]bool{}
	if err := s.List(t.Context(), "", func(key string, value []byte) error {
		listed[key] = true
		if !bytes.Equal(value, held[key]) && (copying(key) == kindValue || !anyDerived) {
			t.Errorf("%s is listed with another value", key)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if len(lost) > 0 && log.Len() == 0 || log.Len() > 0 && strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the log, with these keys lost: %v\n%s", lost, log.String())
	}
	if log.Len() == 0 && len(listed) != len(held) {
		t.Errorf("%d keys of %d, and nothing is said", len(listed), len(held))
	}
	if _, err := s.Put(t.Context(), "sink.after", []byte("works"), 0); err != nil {
		t.Error(err)
	}
}

// stateSeed returns where a test begins, and says it.
func stateSeed(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// stateOffsets returns every offset if RELAY_TEST_EVERY_BYTE is set, else so many, spread evenly from a random begin.
func stateOffsets(t *testing.T, random *rand.Rand, size, many int) []int {
	t.Helper()
	step := max(1, size/many)
	if os.Getenv("RELAY_TEST_EVERY_BYTE") != "" {
		step = 1
	}
	var all []int
	for at := random.IntN(step); at < size; at += step {
		all = append(all, at)
	}
	return all
}

// stateFolder makes a folder with the files of a state.
func stateFolder(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStateDamage(t *testing.T) {
	held, files := realisticFiles(t)
	random := stateSeed(t)
	dir := filepath.Join(t.TempDir(), "state")
	try := func(name string, content []byte, what string) {
		damaged := maps.Clone(files)
		damaged[name] = content
		if content == nil {
			delete(damaged, name)
		}
		stateFolder(t, dir, damaged)
		checkStateDamage(t, dir, held)
		if t.Failed() {
			t.Fatalf("%s: %s", name, what)
		}
	}
	for name, content := range files {
		for _, at := range stateOffsets(t, random, len(content), 250) {
			flipped := bytes.Clone(content)
			flipped[at] ^= byte(1 + random.IntN(255))
			try(name, flipped, fmt.Sprintf("byte %d of %d flipped", at, len(content)))
		}
		for _, at := range stateOffsets(t, random, len(content), 60) {
			try(name, content[:at], fmt.Sprintf("cut to %d bytes of %d", at, len(content)))
			zeroed := bytes.Clone(content)
			clear(zeroed[at:min(len(zeroed), at+pageSize)])
			try(name, zeroed, fmt.Sprintf("a page of zeros at %d", at))
		}
		try(name, nil, "removed")
		try(name, []byte{}, "empty")
		garbage := bytes.Clone(content)
		for i := range garbage {
			garbage[i] = byte(random.Uint32())
		}
		try(name, garbage, "garbage")
	}
}

// The bytes of the first pages and of a page of keys decide the most: every bit of them.
func TestStateDamageOfEveryBitThatSaysWhere(t *testing.T) {
	held, files := realisticFiles(t)
	content, second := files[fileName], files[copyName]
	random := stateSeed(t)
	dir := filepath.Join(t.TempDir(), "state")
	every := 7
	if os.Getenv("RELAY_TEST_EVERY_BYTE") != "" {
		every = 1
	}
	for page := range len(content) / pageSize {
		for at := random.IntN(every); at < 8*(pageHeader+8*pageElement); at += every * (1 + page/2) {
			flipped := bytes.Clone(content)
			flipped[page*pageSize+at/8] ^= 1 << (at % 8)
			stateFolder(t, dir, map[string][]byte{fileName: flipped, copyName: second})
			checkStateDamage(t, dir, held)
			if t.Failed() {
				t.Fatalf("page %d, bit %d", page, at)
			}
		}
	}
}

// The file has pages of earlier commits. None of them is taken for the current one.
func TestStateDamageThatLeadsToAnotherPage(t *testing.T) {
	held, files := realisticFiles(t)
	content, second := files[fileName], files[copyName]
	scan := pageScan{file: bytes.NewReader(content), found: func([]byte, []byte) {}, bad: func(err error) { t.Error(err) }}
	root, pages, err := scan.newestMeta()
	if err != nil {
		t.Fatal(err)
	}
	at := int(root)*pageSize + pageHeader + pageElement + len(bucketName) // the number of the bucket's first page
	now := binary.NativeEndian.Uint64(content[at:])
	dir := filepath.Join(t.TempDir(), "state")
	for page := range pages + 1 {
		if page == now {
			continue
		}
		led := bytes.Clone(content)
		binary.NativeEndian.PutUint64(led[at:], page)
		stateFolder(t, dir, map[string][]byte{fileName: led, copyName: second})
		checkStateDamage(t, dir, held)
		if t.Failed() {
			t.Fatalf("page %d instead of %d", page, now)
		}
	}
}

func TestStateBothCopiesDamaged(t *testing.T) {
	dir := t.TempDir()
	realisticState(t, dir)
	for _, name := range []string{fileName, copyName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s := openState(t, dir, &log)
	if !strings.Contains(log.String(), "are both damaged") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the log: %s", log.String())
	}
	if got := s.Damaged(); !slices.Equal(got, []string{derivedKey}) {
		t.Errorf("damaged: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kept, _ := filepath.Glob(filepath.Join(dir, damagedDir, "*"))
	if len(kept) != 2 {
		t.Errorf("kept aside: %v", kept)
	}
}

// What was lost stays known until its owner has rebuilt it.
func TestStateRemembersWhatIsLost(t *testing.T) {
	dir := t.TempDir()
	held := realisticState(t, dir)
	key := deadPrefix + "30"
	content, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; { // also in pages that are not used any more
		i := bytes.Index(content[at:], held[key])
		if i < 0 {
			break
		}
		at += i + 1
		content[at+5] ^= 1
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := openState(t, dir, t.Output())
		if got := s.Damaged(); !slices.Equal(got, []string{key}) {
			t.Errorf("damaged: %v", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openState(t, dir, io.Discard)
	if _, err := s.Put(t.Context(), key, held[key], 0); err != nil {
		t.Fatal(err)
	}
	if got := s.Damaged(); len(got) != 0 {
		t.Errorf("damaged after it was put: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkStateDamage(t, dir, held)
}

// A value, and then a page, are damaged while the state is open.
func TestStateDamageWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the file cannot be replaced while it is mapped into memory")
	}
	for _, what := range []string{"a value", "every page", "the length"} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			held := realisticState(t, dir)
			var log bytes.Buffer
			s := openState(t, dir, &log)
			defer s.Close()
			file, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			switch what {
			case "a value":
				for i := range len(content) - 30 {
					if bytes.HasPrefix(content[i:], []byte("sink.sink1 sink.sink1")) {
						content[i] ^= 1
					}
				}
			case "every page":
				for at := 0; at < len(content); at += pageSize {
					clear(content[at : at+pageHeader])
				}
			default: // reading a page beyond the end is a fault
				content = content[:2*pageSize]
				if err := file.Truncate(2 * pageSize); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := file.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"sink.sink1", "history.account1", "hash_key"} {
				if value, _, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(value, held[key]) {
					t.Errorf("%s: %d bytes, %v", key, len(value), err)
				}
			}
			if _, err := s.Put(t.Context(), "sink.sink1", []byte("next"), journal.AnyRevision); err != nil {
				t.Error(err)
			}
			if strings.Count(log.String(), "state.db was damaged") != 1 {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

// A process that was killed while it replaced a file leaves what it had made of the next one.
func TestStateLeftOverFiles(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		dir := t.TempDir()
		held := realisticState(t, dir)
		names := []string{fileName + ".new", copyName + ".new"}
		if damaged {
			names = append(names, fileName)
		}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		checkStateDamage(t, dir, held)
		if _, err := os.Stat(filepath.Join(dir, copyName+".new")); !os.IsNotExist(err) {
			t.Error(err)
		}
	}
}
