package statefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// Verify reads the whole state and returns an error if a value, or the set of values, is damaged. It changes nothing;
// the next operation that finds the damage repairs it.
func (s *State) Verify(ctx context.Context) error {
	err := s.within(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error { return verifyTx(ctx, tx) })
	})
	if err != nil {
		return fmt.Errorf("verify the state: %w", err)
	}
	return nil
}

func verifyTx(ctx context.Context, tx *bbolt.Tx) error {
	bucket := tx.Bucket([]byte(bucketName))
	total, err := parseTotal(bucket.Get([]byte(totalKey)))
	if err != nil {
		return fmt.Errorf("%w: its total: %w", errDamaged, err)
	}
	var seen stateTotal
	if err := bucket.ForEach(func(key, encoded []byte) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if string(key) == totalKey {
			return nil
		}
		r, err := parseRecord(encoded)
		if err == nil && r.key != string(key) {
			err = errRecordDamaged
		}
		if err != nil {
			return fmt.Errorf("%w: the value of %q: %w", errDamaged, key, err)
		}
		seen.replace(nil, encoded)
		return nil
	}); err != nil {
		return err
	}
	if seen.count != total.count || seen.sum != total.sum {
		return fmt.Errorf("%w: it holds %d keys instead of %d, or others", errDamaged, seen.count, total.count)
	}
	return nil
}

// Verify verifies both copies of the state in a folder that no process has open. It changes nothing.
func Verify(ctx context.Context, dir string) error {
	s := &State{dir: dir, log: zerolog.Nop()}
	if _, err := os.Lstat(filepath.Join(dir, fileName)); err != nil {
		return fmt.Errorf("verify the state: %w", err)
	}
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("verify the state in %s: %w", dir, err)
	}
	found, err := checkFile(dir, false)
	if err == nil && found.cause != nil {
		err = fmt.Errorf("%w: %w", errDamaged, found.cause)
	}
	if _, copyErr := readCopy(dir); copyErr != nil && err == nil {
		err = copyErr
	} else if copyErr != nil {
		err = fmt.Errorf("%w; and its second copy: %w", err, copyErr)
	}
	if unlockErr := s.lock.Unlock(); err == nil {
		err = unlockErr
	}
	if err != nil {
		return fmt.Errorf("verify the state in %s: %w", dir, err)
	}
	return nil
}

// Backup writes the current state and its second copy to an existing folder without a state.
func (s *State) Backup(ctx context.Context, dir string) error {
	path := filepath.Join(dir, fileName)
	err := s.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			if err := verifyTx(ctx, tx); err != nil {
				return err
			}
			content, err := makeCopy(tx)
			if err == nil {
				err = replaceFile(dir, copyName, content)
			}
			if err != nil {
				return err
			}
			return writeBackup(tx, path)
		})
	})
	if err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("back up the state to %s: %w", dir, err)
	}
	return nil
}

func writeBackup(tx *bbolt.Tx, path string) error {
	file, err := openFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("there is a state already: %w", err)
	}
	if err != nil {
		return err
	}
	_, err = tx.WriteTo(file)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path) // frees space; the error is reported
	}
	return err
}
