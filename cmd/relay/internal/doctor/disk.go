package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// The limits of a disk.
const (
	leastSpace = 64 << 20
	goodSpace  = 1 << 30
	slowSync   = 20 * time.Millisecond
	syncProbes = 20
)

const otherUser = "run this as the user that relay runs as, or give that user the folder, or choose another with --data-dir"

func (d *doctor) folderTrack() track {
	inside := func(name string, do func(context.Context) Finding) check {
		return check{name, "", diskLimit, func(ctx context.Context) Finding {
			if d.dirErr != nil {
				return skipped("the data folder cannot be used")
			}
			return do(ctx)
		}}
	}
	return track{
		{"relay", "", diskLimit, d.running},
		{"folder", d.dir, diskLimit, d.folder},
		{"identity", "", diskLimit, d.identityFile},
		inside("accounts", d.accountFiles), inside("overlay-login", d.overlayLoginFile), inside("space", d.space), inside("fsync", d.fsync),
	}
}

func (d *doctor) running(context.Context) Finding {
	switch {
	case d.silent != nil:
		return warned(advice.Do("wait until it has started or stopped, or restart it"), "a relay holds the data folder and does not answer on %s: %v", api.Socket, d.silent)
	case d.runs:
		return fine("runs on the data folder")
	}
	return fine("does not run on the data folder")
}

func (d *doctor) folder(context.Context) Finding {
	info, err := os.Stat(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fine("is not there yet; relay creates it when it first runs")
	case err != nil:
		return faulty(advice.Do(otherUser), "%v", err)
	case !info.IsDir():
		return faulty(advice.Do("choose a folder with --data-dir"), "is not a folder")
	}
	if d.dirErr != nil {
		return faultOf(d.dirErr, otherUser)
	}
	f, err := os.CreateTemp(d.dir, ".doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return faulty(advice.Do(otherUser), "cannot be written to: %v", err)
	}
	if loose(info) {
		return warned(advice.Run("chmod 700 "+text.ShellQuote(d.dir)), "others may look into it (mode %04o)", info.Mode().Perm())
	}
	return fine("can be read and written")
}

// loose reports whether other users may access a file of secrets.
func loose(info fs.FileInfo) bool { return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 }

func (d *doctor) identityFile(context.Context) Finding {
	switch {
	case d.identityErr == nil:
		return fine("%s", d.identity)
	case errors.Is(d.identityErr, store.ErrNoIdentity) && !errors.Is(d.storeErr, store.ErrNoIdentity):
		return fine("there is none yet; relay creates one at the first login")
	case errors.Is(d.identityErr, store.ErrNoIdentity):
		return faulty(advice.Do("put it back from a backup, set RELAY_IDENTITY_FILE, or log in to each account again with relay auth login ACCOUNT"),
			"there is no identity to open the stored logins with")
	}
	return faultOf(d.identityErr, "put the identity back from a backup, or make a new one and log in to each account again")
}

func (d *doctor) accountFiles(context.Context) Finding {
	switch {
	case d.identityErr != nil && errors.Is(d.storeErr, d.identityErr):
		return skipped("there is no identity to open them with")
	case d.storeErr != nil:
		return faultOf(d.storeErr, otherUser)
	case d.store == nil:
		return fine("nobody has logged in yet")
	}
	if plain := d.store.Plain(); len(plain) > 0 {
		return warned(advice.Do("renew their tokens with relay auth refresh ACCOUNT"), "the tokens of %v are not sealed yet", plain)
	}
	return fine("only the user may read the logins")
}

func (d *doctor) overlayLoginFile(context.Context) Finding {
	path := filepath.Join(d.dir, datadir.OverlayFile)
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return fine("is not there yet; relay creates it when a nats sink first runs")
	case err != nil:
		return faulty(advice.Do(otherUser), "%v", err)
	case loose(info):
		return warned(advice.Run("chmod 600 "+text.ShellQuote(path)), "others may read it (mode %04o)", info.Mode().Perm())
	}
	if _, err := datadir.ReadOverlayLogin(d.dir); err != nil {
		return faulty(advice.Do("delete it and restart relay, and give the new login to the overlay backends"), "%v", err)
	}
	return fine("only the user may read it")
}

func (d *doctor) space(context.Context) Finding {
	free, err := freeSpace(d.dir)
	const fix = "free some space, or move the data folder with --data-dir"
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return skipped("relay cannot read the free space on %s", runtime.GOOS)
	case errors.Is(err, fs.ErrNotExist):
		return skipped("the data folder is not there yet")
	case err != nil:
		return faulty(advice.Do(otherUser), "read the free space: %v", err)
	case free < leastSpace:
		return faulty(advice.Do(fix), "%d MiB are free", free>>20)
	case free < goodSpace:
		return warned(advice.Do(fix), "only %d MiB are free", free>>20)
	}
	return fine("%d GiB are free", free>>30)
}

// fsync measures how long a write to the journal takes.
func (d *doctor) fsync(ctx context.Context) Finding {
	if _, err := os.Stat(d.dir); errors.Is(err, fs.ErrNotExist) {
		return skipped("the data folder is not there yet")
	}
	median, err := medianSync(ctx, d.dir)
	if err != nil {
		return faulty(advice.Do(otherUser), "write and sync a file: %v", err)
	}
	return syncFinding(median)
}

func syncFinding(median time.Duration) Finding {
	rate := int(time.Second / max(median, time.Microsecond))
	shown := median.Round(10 * time.Microsecond)
	if median > slowSync {
		return warned(advice.Do("keep the data folder on a faster disk, with --data-dir"),
			"a write takes %v, so that the journal takes some %d single treats a second; more come in batches", shown, rate)
	}
	return fine("a write takes %v, enough for some %d single treats a second", shown, rate)
}

// medianSync appends records to a file in dir, syncs each, and returns the median duration.
func medianSync(ctx context.Context, dir string) (median time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	took := make([]time.Duration, 0, syncProbes)
	record := make([]byte, 1<<10)
	for range syncProbes {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		begin := time.Now()
		if _, err := f.Write(record); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// journal checks that the journal can be read.
func (d *doctor) journal(ctx context.Context) (f Finding) {
	var undo datadir.Teardown
	defer func() {
		if err := undo.Run(); err != nil && f.State == OK {
			f = faulty(advice.Do(otherUser), "%v", err)
		}
	}()
	external := d.cfg != nil && !d.cfg.Journal.NATSURL.Empty()
	if d.dirErr != nil && !external {
		return skipped("the data folder cannot be used")
	}
	summary, err := d.inspectJournal(ctx, external, &undo)
	switch {
	case errors.Is(err, journal.ErrNoJournal):
		return fine("there is none yet; it begins when relay first runs")
	case err != nil && external:
		return faulty(advice.Do("start that server, or correct the login or the address in the section journal of the configuration"), "%v", err)
	case err != nil:
		return faultOf(err, otherUser)
	}
	if summary.Newest == nil {
		return fine("%d messages, %d MiB; no event yet", summary.Messages, summary.Bytes>>20)
	}
	return fine("%d messages, %d MiB; the newest event is of %s, %s", summary.Messages, summary.Bytes>>20, summary.Newest.Account, text.Ago(time.Now(), summary.Newest.Journaled))
}

// inspectJournal returns a summary of the journal, also if the configuration has faults.
func (d *doctor) inspectJournal(ctx context.Context, external bool, undo *datadir.Teardown) (api.Journal, error) {
	access := &datadir.Access{Dir: d.dir, Log: d.log}
	var c *api.Client
	var err error
	switch {
	case external:
		c, err = access.OnServer(ctx, d.cfg.Journal, undo)
	case d.runs:
		if c, err = datadir.Running(ctx, d.dir, undo); err != nil {
			err = fmt.Errorf("ask the relay that runs: %w", err)
		}
	default:
		c, err = access.Exclusive(ctx, undo)
	}
	if err != nil {
		return api.Journal{}, err
	}
	return c.Journal(ctx)
}
