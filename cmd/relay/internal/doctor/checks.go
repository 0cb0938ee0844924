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
	journalLimit = 2 * time.Minute // if no relay runs, all of it is read
)

// CheckConfig is the name of the findings about the configuration.
const CheckConfig = "config"

// A doctor has what the checks need.
type doctor struct {
	log    zerolog.Logger // for what opening the journal logs
	ping   bool
	dir    string // the data folder
	dirErr error  // why it cannot be used although it exists
	presence
	cfg    *config.Config // nil if it cannot be used
	cfgErr error

	identity    store.Identity
	identityErr error
	store       *store.Files // nil without logins
	storeErr    error
}

// presence is whether a relay runs on the data folder.
type presence struct {
	runs   bool
	silent error // why a relay that holds the folder does not answer; nil if there is none
}

// newDoctor reads what the checks need. It keeps the errors for the checks to report.
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

// openLogins opens the store of the logins, without creating it. The store is nil if nobody has logged in.
func (d *doctor) openLogins() (*store.Files, error) {
	at := filepath.Join(d.dir, datadir.AccountsDir)
	_, err := os.Stat(at)
	if d.dirErr != nil || errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil,nilerr // there is none, or the check of the folder reports it
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
		_ = conn.Close() // nothing was sent
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
	defer lock.Close() //nolint:errcheck // nothing was written
	if free, lockErr := lock.TryLock(); lockErr == nil && !free {
		return presence{silent: err}
	}
	return presence{}
}

// tracks returns all checks, in the order of their findings.
func (d *doctor) tracks() []track {
	all := []track{d.configTrack(), d.folderTrack()}
	if d.cfg == nil {
		return append(all, track{{"journal", d.dir, journalLimit, d.journal}})
	}
	accounts := d.accountTracks()
	all = append(all, d.portTrack(), d.pagesTrack())
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

// configTrack has a finding for each fault of the configuration.
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
			all = append(all, warned(advice.Run("chmod 600 "+text.ShellQuote(d.cfg.Path)), "%v", w))
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

// overlays reports whether a sink needs relay's own NATS server.
func (d *doctor) overlays() bool {
	return slices.ContainsFunc(d.cfg.Sinks, func(s config.Sink) bool {
		n, ok := s.Config.(*natssink.Config)
		return ok && n.URL.Empty()
	})
}

// journalPlace returns where the journal is: the data folder, or the hosts of its server.
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

// faultOf returns the finding of an error, with the fix that the error brings, or else with this one.
func faultOf(err error, otherwise string) Finding {
	if wrong, fix := advice.Split(err); !fix.Empty() {
		return faulty(fix, "%s", wrong)
	}
	if own, ok := errors.AsType[fixer](err); ok {
		return faulty(advice.Do(own.Fix()), "%s", strings.TrimSuffix(err.Error(), "; "+own.Fix()))
	}
	return faulty(advice.Do(otherwise), "%v", err)
}
