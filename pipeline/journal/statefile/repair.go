package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	fileName         = "state.db"
	bucketName       = "state"
	damagedDir       = "damaged"
	revisionsSkipped = 1 << 20 // after damage, so that a lost revision is not used again
	lockTimeout      = 900 * time.Millisecond
)

// errDamaged means that state.db is damaged.
var errDamaged = errors.New("the state is damaged")

// stateCheck is the result of checking state.db.
type stateCheck struct {
	revision uint64                 // the highest seen
	keep     bool                   // collect intact records
	records  map[string]stateRecord // by key
	lost     map[string]struct{}    // keys with a damaged value, now or earlier
	unknown  bool                   // the damaged keys are not all known
	cause    error                  // the first damage
}

func (c *stateCheck) damaged(err error) {
	if c.cause == nil && err != nil {
		c.cause = err
	}
}

// checkFile verifies every meaningful byte of state.db. The caller holds the lock. The error concerns opening the file;
// damage is in the result.
func checkFile(dir string, keep bool) (*stateCheck, error) {
	c := &stateCheck{keep: keep, records: map[string]stateRecord{}, lost: map[string]struct{}{}}
	file, err := openFile(filepath.Join(dir, fileName), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // opened for reading only
	var seen, total stateTotal          // what is there, and what it says of itself
	totalSeen, totalDamaged := false, false
	scan := pageScan{file: file, bad: func(err error) {
		c.unknown = true
		c.damaged(err)
	}, found: func(key, record []byte) {
		if string(key) == totalKey {
			totalSeen = true
			if total, err = parseTotal(record); err != nil {
				totalDamaged = true
				c.damaged(fmt.Errorf("its total: %w", err))
			}
			return
		}
		c.found(string(key), record, &seen)
	}}
	scan.run()
	c.revision = max(c.revision, total.revision)
	switch {
	case !totalSeen:
		scan.bad(errors.New("its total is not there"))
	case totalDamaged:
	case scan.sequence != 0 && scan.sequence != total.revision:
		scan.bad(fmt.Errorf("the keys are those of revision %d instead of %d", total.revision, scan.sequence))
	case c.cause == nil && (total.count != seen.count || total.sum != seen.sum):
		scan.bad(fmt.Errorf("%d keys instead of %d, or others", seen.count, total.count))
	}
	return c, nil
}

// found adds a record.
func (c *stateCheck) found(key string, record []byte, seen *stateTotal) {
	r, err := parseRecord(record)
	if err != nil {
		c.damaged(fmt.Errorf("the value of %q: %w", key, err))
		if validKey(key) && recordNames(record, key) {
			c.lost[key] = struct{}{}
		} else {
			c.unknown = true // the key itself may be damaged
		}
		return
	}
	if r.key != key {
		c.damaged(fmt.Errorf("the key %q, which is %q", key, r.key)) // the checksum covers the record's own key
	}
	seen.replace(nil, record)
	c.revision = max(c.revision, r.revision)
	if r.kind == kindLost {
		c.lost[r.key] = struct{}{}
		return
	}
	if c.keep {
		r.value = slices.Clone(r.value)
		c.records[r.key] = r
	}
}

// rescue is the outcome of a repair for each key.
type rescue struct {
	records  map[string]stateRecord
	revision uint64
	restored []string // from the second copy
	lost     []string
}

// merge combines the intact parts of state.db and its second copy.
func merge(c *stateCheck, second stateCopy) rescue {
	r := rescue{records: c.records, revision: max(c.revision, second.revision) + revisionsSkipped}
	for key, copied := range second.records {
		own, ok := c.records[key]
		switch {
		case copied.kind == kindValue && (!ok || own.revision < copied.revision):
			r.records[key] = copied
			r.restored = append(r.restored, key)
			delete(c.lost, key)
		case copied.kind != kindValue && !ok:
			c.lost[key] = struct{}{} // it existed, and the copy does not have its value
		}
	}
	if c.unknown {
		c.lost[derivedKey] = struct{}{}
	}
	for key := range c.lost {
		r.records[key] = stateRecord{kind: kindLost, revision: r.revision, key: key}
		r.lost = append(r.lost, key)
	}
	slices.Sort(r.restored)
	slices.Sort(r.lost)
	return r
}

// buildFile builds a state.db from the records and replaces the existing one.
func buildFile(dir string, records map[string]stateRecord, revision uint64) error {
	path := filepath.Join(dir, fileName)
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := openBolt(temp)
	if err != nil {
		return err
	}
	total := stateTotal{revision: revision}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte(bucketName))
		if err != nil {
			return err
		}
		for key, r := range records {
			record := r.encode()
			total.replace(nil, record)
			if err := bucket.Put([]byte(key), record); err != nil {
				return err
			}
		}
		return errors.Join(bucket.SetSequence(revision), bucket.Put([]byte(totalKey), total.encode()))
	})
	return commitFile(temp, path, db.Close(), err)
}

// openBolt opens an intact file or creates it. The freelist is not stored in the file: if it were damaged, bbolt would
// overwrite pages in use.
func openBolt(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: pageSize, NoStatistics: true, OpenFile: openFile,
	})
}

// quarantine copies a damaged file to the folder for damaged files and returns the path.
func quarantine(dir, name string) (string, error) {
	aside := filepath.Join(dir, damagedDir)
	if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if info, err := os.Lstat(aside); err != nil || !info.IsDir() {
		return "", &fixableError{aside + " is not a folder", "move it away"}
	}
	path := filepath.Join(aside, strings.Replace(name, "state", "state-"+time.Now().UTC().Format("20060102T150405.000000000"), 1))
	from := filepath.Join(dir, name)
	if err := os.Link(from, path); err == nil {
		return path, disk.SyncDir(aside)
	}
	content, err := readFile(from, maxCopy)
	if err != nil {
		return "", err
	}
	return path, replaceFile(aside, filepath.Base(path), content)
}
