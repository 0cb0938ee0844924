package filelog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	gapsName = "gaps.json"
	// temporarySuffix marks a file that is not complete.
	temporarySuffix = ".tmp"
)

// gapSet is a set of numbers: sorted ranges that neither overlap nor touch.
type gapSet []journal.Range

// add adds a range and returns the numbers that are new.
func (g *gapSet) add(s journal.Range) (fresh []journal.Range) {
	if s.First > s.Last {
		return nil
	}
	i, _ := slices.BinarySearchFunc(*g, s.First, func(have journal.Range, n uint64) int {
		if have.Last+1 < n {
			return -1
		}
		return 1
	})
	j, whole, from := i, s, s.First
	for ; j < len(*g) && (*g)[j].First <= s.Last+1; j++ {
		have := (*g)[j]
		if from < have.First {
			fresh = append(fresh, journal.Range{First: from, Last: have.First - 1})
		}
		from = max(from, have.Last+1)
		whole.First, whole.Last = min(whole.First, have.First), max(whole.Last, have.Last)
	}
	if from <= s.Last {
		fresh = append(fresh, journal.Range{First: from, Last: s.Last})
	}
	*g = slices.Replace(*g, i, j, whole)
	return fresh
}

// forget removes the ranges that end before a number.
func (g *gapSet) forget(before uint64) {
	*g = slices.DeleteFunc(*g, func(s journal.Range) bool { return s.Last < before })
}

// gapRecord is the content of gaps.json.
type gapRecord struct {
	Oldest uint64 `json:"oldest"` // the first number that retention has kept; 0: unknown
	Gaps   gapSet `json:"gaps"`
}

var errGaps = errors.New("its checksum does not match")

// readGaps reads gaps.json. Without such a file the record is empty.
func readGaps(dir string) (gapRecord, error) {
	k := gapRecord{}
	path := filepath.Join(dir, gapsName)
	b, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	sum, text, _ := strings.Cut(string(b), "\n")
	text = strings.TrimSuffix(text, "\n")
	if sum != checksum(text) {
		return k, fmt.Errorf("read %s: %w", path, errGaps)
	}
	var read gapRecord
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		return k, fmt.Errorf("read %s: %w", path, err)
	}
	return read, nil
}

// writeGaps replaces gaps.json.
func writeGaps(dir string, k gapRecord) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return replaceFile(dir, gapsName, []byte(checksum(string(text))+"\n"+string(text)+"\n"), true)
}

func checksum(text string) string {
	return fmt.Sprintf("%08x", disk.Checksum([]byte(text)))
}

// readFile reads a small file of the log.
func readFile(path string) ([]byte, error) {
	f, err := disk.OpenFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	n, err := disk.ReadAt(f, b, 0)
	return b[:n], err
}

// replaceFile writes a file and gives it its name when it is complete.
func replaceFile(dir, name string, content []byte, durable bool) error {
	temporary := filepath.Join(dir, name+temporarySuffix)
	err := writeFile(temporary, content, durable)
	if err == nil {
		err = os.Rename(temporary, filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(temporary)
		return fmt.Errorf("replace %s: %w", filepath.Join(dir, name), err)
	}
	if durable {
		return disk.SyncDir(dir)
	}
	return nil
}

func writeFile(path string, content []byte, durable bool) error {
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
