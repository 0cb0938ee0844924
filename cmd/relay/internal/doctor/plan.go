package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// How long checks may take.
const (
	networkLimit = 10 * time.Second
	renewalLimit = 40 * time.Second
	diskLimit    = 30 * time.Second
	journalLimit = 2 * time.Minute // all of it is read if no relay runs
)

// CheckConfig is the name of the findings about the configuration.
const CheckConfig = "config"

// A doctor knows what is to be examined.
type doctor struct {
	log    zerolog.Logger // of what opens the journal
	ping   bool
	dir    string // the data folder
	dirErr error  // why it cannot be used though it is there
	presence
	cfg    *config.Config // nil if it cannot be used
	cfgErr error

	identity    store.Identity
	identityErr error
	store       *store.Files // nil without logins
	storeErr    error
}

// presence is what is known of a relay on the data folder.
type presence struct {
	runs   bool
	silent error // one has the folder, and does not answer: why
}

// newDoctor reads what tells the checks what to look at. What is wrong with that is for the checks to say.
func newDoctor(ctx context.Context, o Options) *doctor {
	d := &doctor{log: o.Log, ping: o.Ping, dir: o.Dir, presence: findRelay(ctx, o.Dir)}
	if _, err := os.ReadDir(d.dir); !errors.Is(err, fs.ErrNotExist) {
		d.dirErr = cmp.Or(err, datadir.Check(d.dir))
	}
	d.cfg, d.cfgErr = o.Config()
	d.identity, d.identityErr = store.FindIdentity(ctx, o.Identity)
	d.store, d.storeErr = d.openLogins()
	return d
}

// openLogins opens the store of the logins and makes nothing; it is nil if nobody has logged in.
func (d *doctor) openLogins() (*store.Files, error) {
	at := filepath.Join(d.dir, datadir.AccountsDir)
	_, err := os.Stat(at)
	if d.dirErr != nil || errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil,nilerr // there is none, or the check of the folder tells
	}
	if err = cmp.Or(err, d.identityErr); err != nil {
		return nil, err
	}
	return store.Open(at, store.NewAgeSealer(d.identity))
}

// findRelay finds out whether a relay runs on the data folder.
func findRelay(ctx context.Context, dir string) presence {
	conn, err := api.Dial(ctx, dir)
	if err == nil {
		_ = conn.Close() // it was only to see who answers
		return presence{runs: true}
	}
	if !errors.Is(err, api.ErrNoRelay) {
		return presence{silent: err}
	}
	path := filepath.Join(dir, datadir.LockFile)
	if _, err := os.Stat(path); err != nil {
		return presence{}
	}
	lock := datadir.NewLock(dir)
	defer lock.Close() //nolint:errcheck // it was only to see whether it is free
	if free, lockErr := lock.TryLock(); lockErr == nil && !free {
		return presence{silent: err}
	}
	return presence{}
}

// tracks lists all checks, in the order in which they are told.
func (d *doctor) tracks() []track {
	all := []track{d.configTrack(), d.folderTrack()}
	if d.cfg == nil {
		return append(all, track{{"journal", d.dir, journalLimit, d.journal}})
	}
	accounts := d.accountTracks()
	all = append(all, d.portTrack())
	all = append(all, d.hostTracks()...)
	all = append(all, accounts...)
	all = append(all, track{{"journal", d.journalPlace(), journalLimit, d.journal}})
	for _, s := range d.cfg.Sinks {
		if t := d.sinkTrack(s); t != nil {
			all = append(all, t)
		}
	}
	return all
}

// configTrack has the faults of the configuration, one finding each.
func (d *doctor) configTrack() track {
	var all []Finding
	switch faults, ok := errors.AsType[config.Faults](d.cfgErr); {
	case ok:
		for _, e := range faults {
			all = append(all, faulty(advice.Do("correct the configuration; docs/config.md has every key"), "%v", e))
		}
	case d.cfgErr != nil:
		all = append(all, faultOf(d.cfgErr, "name another file with --config"))
	default:
		for _, w := range d.cfg.Warnings {
			all = append(all, warned(advice.Do("run: chmod 600 "+text.ShellQuote(d.cfg.Path)), "%v", w))
		}
		if len(all) == 0 {
			all = append(all, fine("%s has %d accounts and %d sinks", d.cfg.Path, len(d.cfg.Accounts), len(d.cfg.Sinks)))
		}
	}
	var t track
	for _, f := range all {
		t = append(t, check{CheckConfig, "", networkLimit, func(context.Context) Finding { return f }})
	}
	return t
}

// overlays reports whether relay's own server serves overlay backends.
func (d *doctor) overlays() bool {
	return slices.ContainsFunc(d.cfg.Sinks, func(s config.Sink) bool {
		n, ok := s.Config.(*natssink.Config)
		return ok && n.URL.Empty()
	})
}

// journalPlace is where the journal is, without a login.
func (d *doctor) journalPlace() string {
	if d.cfg.Journal.NATSURL.Empty() {
		return d.dir
	}
	return datadir.Hosts(d.cfg.Journal.NATSURL.Reveal())
}

// A fixer is an error that says how to fix it. Its text ends in "; " and the fix.
type fixer interface {
	error
	Fix() string
}

// faultOf is the finding of an error, with the fix that it brings or else with this one.
func faultOf(err error, otherwise string) Finding {
	if wrong, fix := advice.Cut(err); !fix.Empty() {
		return faulty(fix, "%s", wrong)
	}
	if own, ok := errors.AsType[fixer](err); ok {
		return faulty(advice.Do(own.Fix()), "%s", strings.TrimSuffix(err.Error(), "; "+own.Fix()))
	}
	return faulty(advice.Do(otherwise), "%v", err)
}
