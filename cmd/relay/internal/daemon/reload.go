package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
)

// A Reloader decides when to reload the configuration, and loads it. A nil Reloader never does.
type Reloader struct {
	path  string
	watch bool           // whether a change of the file is a reason
	hup   chan os.Signal // nil on a terminal, where SIGHUP means that the terminal has closed, and ends relay
	last  string         // the sum of the file as it was loaded
	load  func() (*config.Config, error)
}

// NewReloader returns a Reloader for the configuration at path, which is loaded after that: a signal or a change from now on counts. load loads the
// configuration. interactive means that relay runs on a terminal.
func NewReloader(path string, watch, interactive bool, load func() (*config.Config, error)) *Reloader {
	r := &Reloader{path: path, watch: watch, load: load}
	if !interactive {
		r.hup = make(chan os.Signal, 1)
		signal.Notify(r.hup, syscall.SIGHUP) // until the process ends
	}
	r.last = config.Hash(r.path)
	return r
}

// watchInterval is how often a watched configuration file is read.
const watchInterval = time.Second

// triggers returns a channel that receives after SIGHUP and, if the file is watched, after a change of it, until ctx ends.
func (r *Reloader) triggers(ctx context.Context, work *sync.WaitGroup) <-chan struct{} {
	if r == nil {
		return nil
	}
	due := make(chan struct{}, 1)
	work.Go(func() {
		var tick <-chan time.Time
		last := r.last
		if r.watch {
			ticker := time.NewTicker(watchInterval)
			defer ticker.Stop()
			tick = ticker.C
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.hup:
				last = config.Hash(r.path)
			case <-tick:
				now := config.Hash(r.path)
				if now == last || now == "" { // unchanged, or being replaced
					continue
				}
				last = now
			}
			select {
			case due <- struct{}{}:
			default: // a reload is due already
			}
		}
	})
	return due
}

// changes are the names of the accounts or sinks to stop and to start for a new configuration. One that has changed is in both.
type changes struct{ stop, start []string }

// compare returns the changes from what runs to what the configuration wants.
func compare[R, C any](running map[string]R, wanted []C, name func(C) string, same func(R, C) bool) (c changes) {
	kept := make(map[string]bool)
	for _, want := range wanted {
		n := name(want)
		if r, runs := running[n]; runs && same(r, want) {
			kept[n] = true
			continue
		}
		c.start = append(c.start, n)
	}
	for _, n := range slices.Sorted(maps.Keys(running)) {
		if !kept[n] {
			c.stop = append(c.stop, n)
		}
	}
	return c
}

func sameAccount(r *accountRunner, c config.Account) bool {
	return reflect.DeepEqual(r.cfg, c)
}

// sameSink compares filters by their source: compiled filters are never equal.
func sameSink(r *sinkRunner, c config.Sink) bool {
	a, b := r.cfg, c
	source := func(f *rules.Filter) string {
		if f == nil {
			return ""
		}
		return f.String()
	}
	if source(a.Lane.Filter) != source(b.Lane.Filter) {
		return false
	}
	a.Lane.Filter, b.Lane.Filter = nil, nil
	return r.files == config.FilesHash(c.Config) && reflect.DeepEqual(a, b)
}

// opened are the accounts and sinks that a new configuration needs, opened and not started.
type opened struct {
	accounts map[string]*accountRunner
	sinks    map[string]*sinkRunner
}

// close closes the sinks. Accounts hold nothing.
func (o *opened) close() (errs []error) {
	for _, r := range o.sinks {
		errs = append(errs, r.sink.Close())
	}
	return errs
}

// prepare opens the accounts and sinks that start. On an error everything is closed again.
func (j *job) prepare(ctx context.Context, cfg *config.Config, accounts, sinks changes) (_ *opened, err error) {
	o := &opened{accounts: make(map[string]*accountRunner), sinks: make(map[string]*sinkRunner)}
	defer func() {
		if err != nil {
			err = errors.Join(append([]error{err}, o.close()...)...)
		}
	}()
	for _, c := range cfg.Accounts {
		if slices.Contains(accounts.start, c.Account) {
			if o.accounts[c.Account], err = j.accounts.open(c); err != nil {
				return nil, err
			}
		}
	}
	// NATS sinks last: they update their streams, which cannot be undone if another sink fails to open.
	all := slices.Clone(cfg.Sinks)
	slices.SortStableFunc(all, func(a, b config.Sink) int { return cmp.Compare(natsLast(a), natsLast(b)) })
	for _, c := range all {
		if slices.Contains(sinks.start, c.Name) {
			r, err := j.sinks.open(ctx, c)
			if err != nil {
				return nil, err
			}
			o.sinks[c.Name] = r
		}
	}
	return o, nil
}

func natsLast(c config.Sink) int {
	if c.Type == "nats" {
		return 1
	}
	return 0
}

// reload loads the configuration and applies it: accounts and sinks that did not change run on untouched. If anything is wrong with it, reload logs
// that and changes nothing.
func (r *running) reload(receiving, delivering context.Context, load func() (*config.Config, error)) {
	j := r.job
	cfg, err := load()
	if err != nil {
		refuse(j.log, err)
		return
	}
	old := j.runners()
	accounts := compare(old.accounts, cfg.Accounts, func(c config.Account) string { return c.Account }, sameAccount)
	sinks := compare(old.sinks, cfg.Sinks, func(c config.Sink) string { return c.Name }, sameSink)
	if health := j.data.journal.Health(); len(accounts.stop) > 0 && !health.FailingSince.IsZero() {
		refuse(j.log, &advice.Error{
			Err: fmt.Errorf("the journal cannot be written, so no account can be ended without losing treats that it has received: %s", health.Reason),
			Fix: advice.Do("reload again when it can"),
		})
		return
	}
	fresh, err := j.prepare(receiving, cfg, accounts, sinks)
	if err != nil {
		refuse(j.log, err)
		return
	}
	differ := j.started.Differences(cfg.Settings)
	if len(differ) > 0 {
		j.log.Warn().Strs("sections", differ).Msg("these sections of the configuration hold from the next start of relay on")
	}
	if to := j.started.Alerts.Sink; slices.Contains(sinks.stop, to) && !slices.Contains(sinks.start, to) {
		j.log.Warn().Str("sink", to).Msg("alerts wait in the journal, for their sink is gone: restart relay to send them to another one")
	}
	r.remove(receiving, old, accounts.stop, sinks.stop)
	j.setRunners(old.next(cfg, accounts.stop, sinks.stop, fresh))
	j.reconcilers.set(j.runners().sources())
	j.viewer.Loaded(differ...)
	if err := j.pages.overlays.Reload(delivering, cfg.OverlaySettings()); err != nil {
		j.log.Error().Err(err).Msg("overlays keep their settings")
	}
	for _, name := range sinks.start {
		fresh.sinks[name].start(delivering, &r.lanes, j.sinks, r.stop)
	}
	for _, name := range accounts.start {
		a := fresh.accounts[name]
		if _, err := a.account.Status(); err != nil {
			j.log.Error().Err(err).Msg("account waits for a login; the others run")
		}
		a.start(receiving, r.stop)
	}
	j.manager.reloaded(j.runners())
	j.log.Info().Strs("accounts_started", accounts.start).Strs("accounts_ended", accounts.stop).
		Strs("sinks_started", sinks.start).Strs("sinks_ended", sinks.stop).Msg("configuration loaded again")
}

// next returns the runners of a new configuration: those of r without the named ones, and the fresh ones.
func (r runners) next(cfg *config.Config, accounts, sinks []string, fresh *opened) runners {
	n := runners{cfg: cfg, accounts: maps.Clone(r.accounts), sinks: maps.Clone(r.sinks)}
	for _, name := range accounts {
		delete(n.accounts, name)
	}
	for _, name := range sinks {
		delete(n.sinks, name)
	}
	maps.Copy(n.accounts, fresh.accounts)
	maps.Copy(n.sinks, fresh.sinks)
	return n
}

// remove stops accounts and sinks, the accounts first and all of a kind at the same time, because sinks may send the tokens of accounts. It
// returns when they have ended.
func (r *running) remove(ctx context.Context, old runners, accounts, sinks []string) {
	j := r.job
	var stopping sync.WaitGroup
	for _, name := range accounts {
		stopping.Go(func() {
			if err := old.accounts[name].stop(ctx); err != nil {
				j.log.Warn().Err(err).Str("account", name).Msg("what the account received last is still being journaled")
			}
		})
	}
	stopping.Wait()
	for _, name := range sinks {
		stopping.Go(old.sinks[name].stop)
	}
	stopping.Wait()
	for _, name := range accounts {
		j.metrics.Forget("account", name)
	}
	for _, name := range sinks {
		j.metrics.Forget("sink", name)
	}
}

// refuse logs why a configuration is not used: each of its faults, or else err.
func refuse(log zerolog.Logger, err error) {
	const message = "configuration is not loaded again, the old one holds"
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		log.Error().Str("fault", text.OneLine(err)).Msg(message)
	}
	for i := range faults {
		log.Error().Str("fault", faults[i].Error()).Msg(message)
	}
}
