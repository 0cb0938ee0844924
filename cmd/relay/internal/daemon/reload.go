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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
)

// A Reloader says when the configuration is to be loaded again, and loads it. A nil one never does.
type Reloader struct {
	path  string
	watch bool           // for changes of the file
	hup   chan os.Signal // nil on a terminal, where SIGHUP means that the terminal is closed: it ends relay, as ever
	last  string         // the sum of the file as it was loaded
	load  func() (*config.Config, error)
}

// NewReloader makes one for a configuration that is about to be loaded: what is sent or changed from now on counts.
func NewReloader(path string, watch, interactive bool, load func() (*config.Config, error)) *Reloader {
	r := &Reloader{path: path, watch: watch, load: load}
	if !interactive {
		r.hup = make(chan os.Signal, 1)
		signal.Notify(r.hup, syscall.SIGHUP) // until the process ends
	}
	r.last = config.Sum(r.path)
	return r
}

// watchEvery is how often the configuration file is looked at.
const watchEvery = time.Second

// triggers sends when somebody has sent SIGHUP or, if that is wanted, has changed the file, until ctx ends.
func (r *Reloader) triggers(ctx context.Context, work *sync.WaitGroup) <-chan struct{} {
	if r == nil {
		return nil
	}
	asked := make(chan struct{}, 1)
	work.Go(func() {
		var tick <-chan time.Time
		last := r.last
		if r.watch {
			ticker := time.NewTicker(watchEvery)
			defer ticker.Stop()
			tick = ticker.C
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.hup:
				last = config.Sum(r.path)
			case <-tick:
				now := config.Sum(r.path)
				if now == last || now == "" { // or it is being replaced
					continue
				}
				last = now
			}
			select {
			case asked <- struct{}{}:
			default: // it is asked already
			}
		}
	})
	return asked
}

// changes are the names of what is to be ended and started for a new configuration. What has changed is in both.
type changes struct{ end, start []string }

// compareParts says what differs between what runs and what is wanted, by name.
func compareParts[P, C any](running map[string]P, wanted []C, name func(C) string, same func(P, C) bool) (c changes) {
	kept := make(map[string]bool)
	for _, want := range wanted {
		n := name(want)
		if part, runs := running[n]; runs && same(part, want) {
			kept[n] = true
			continue
		}
		c.start = append(c.start, n)
	}
	for _, n := range slices.Sorted(maps.Keys(running)) {
		if !kept[n] {
			c.end = append(c.end, n)
		}
	}
	return c
}

func sameAccount(p *accountPart, c config.Account) bool {
	return reflect.DeepEqual(p.cfg, c)
}

// sameSink compares filters by their text: compiled ones are never the same.
func sameSink(p *sinkPart, c config.Sink) bool {
	a, b := p.cfg, c
	text := func(f *rules.Filter) string {
		if f == nil {
			return ""
		}
		return f.String()
	}
	if text(a.Lane.Filter) != text(b.Lane.Filter) {
		return false
	}
	a.Lane.Filter, b.Lane.Filter = nil, nil
	return p.files == config.FilesSum(c.Config) && reflect.DeepEqual(a, b)
}

// An opening holds what a new configuration needs, opened and not started.
type opening struct {
	accounts map[string]*accountPart
	sinks    map[string]*sinkPart
}

// abandon closes what was opened.
func (s *opening) abandon() (errs []error) {
	for _, part := range s.sinks {
		errs = append(errs, part.sink.Close())
	}
	return errs
}

// prepare opens what is to be started. After an error nothing of it is left.
func (j *job) prepare(ctx context.Context, cfg *config.Config, accounts, sinks changes) (_ *opening, err error) {
	s := &opening{accounts: make(map[string]*accountPart), sinks: make(map[string]*sinkPart)}
	defer func() {
		if err != nil {
			err = errors.Join(append([]error{err}, s.abandon()...)...)
		}
	}()
	for _, c := range cfg.Accounts {
		if slices.Contains(accounts.start, c.Account) {
			if s.accounts[c.Account], err = j.openAccount(c); err != nil {
				return nil, err
			}
		}
	}
	// Those of NATS last: they bring their streams up to date, which cannot be undone when another sink cannot be opened.
	all := slices.Clone(cfg.Sinks)
	slices.SortStableFunc(all, func(a, b config.Sink) int { return cmp.Compare(natsLast(a), natsLast(b)) })
	for _, c := range all {
		if slices.Contains(sinks.start, c.Name) {
			part, err := j.openSink(ctx, c)
			if err != nil {
				return nil, err
			}
			s.sinks[c.Name] = part
		}
	}
	return s, nil
}

func natsLast(c config.Sink) int {
	if c.Type == "nats" {
		return 1
	}
	return 0
}

// reload loads the configuration again and has the job follow it: what is as before runs on untouched. If anything is wrong with it,
// it says so and changes nothing.
func (r *running) reload(ctx, hard context.Context, load func() (*config.Config, error)) {
	j := r.job
	cfg, err := load()
	if err != nil {
		refuse(j.log, err)
		return
	}
	old := j.parts()
	accounts := compareParts(old.accounts, cfg.Accounts, func(c config.Account) string { return c.Account }, sameAccount)
	sinks := compareParts(old.sinks, cfg.Sinks, func(c config.Sink) string { return c.Name }, sameSink)
	if failing := j.journal.Health(); len(accounts.end) > 0 && !failing.FailingSince.IsZero() {
		refuse(j.log, fmt.Errorf("the journal cannot be written, so no account can be ended without losing what it has received: %s; reload again when it can", failing.Reason))
		return
	}
	staged, err := j.prepare(ctx, cfg, accounts, sinks)
	if err != nil {
		refuse(j.log, err)
		return
	}
	if differ := j.started.Differences(cfg.Settings); len(differ) > 0 {
		j.log.Warn().Strs("sections", differ).Msg("these sections of the configuration hold from the next start of relay on")
	}
	if to := j.started.Alerts.Sink; slices.Contains(sinks.end, to) && !slices.Contains(sinks.start, to) {
		j.log.Warn().Str("sink", to).Msg("alerts wait in the journal, for their sink is gone: restart relay to send them to another one")
	}
	r.leave(ctx, old, accounts.end, sinks.end)
	next := live{cfg: cfg, accounts: maps.Clone(old.accounts), sinks: maps.Clone(old.sinks)}
	for _, name := range accounts.end {
		delete(next.accounts, name)
	}
	for _, name := range sinks.end {
		delete(next.sinks, name)
	}
	maps.Copy(next.accounts, staged.accounts)
	maps.Copy(next.sinks, staged.sinks)
	j.setParts(next)
	j.past.set(next.sources())
	for _, name := range sinks.start {
		staged.sinks[name].start(hard, &r.lanes, j.sinkMaker, r.stop)
	}
	for _, name := range accounts.start {
		part := staged.accounts[name]
		if _, err := part.account.Status(); err != nil {
			j.log.Error().Err(err).Msg("account waits for a login; the others run")
		}
		part.start(ctx, r.stop)
	}
	j.log.Info().Strs("accounts_started", accounts.start).Strs("accounts_ended", accounts.end).
		Strs("sinks_started", sinks.start).Strs("sinks_ended", sinks.end).Msg("configuration loaded again")
}

// leave ends parts, all at a time: first the accounts, then the sinks, which may send their tokens.
func (r *running) leave(ctx context.Context, old live, accounts, sinks []string) {
	j := r.job
	var leaving sync.WaitGroup
	for _, name := range accounts {
		leaving.Go(func() {
			if err := old.accounts[name].leave(ctx); err != nil {
				j.log.Warn().Err(err).Str("account", name).Msg("what the account received last is still being journaled")
			}
		})
	}
	leaving.Wait()
	for _, name := range sinks {
		leaving.Go(old.sinks[name].leave)
	}
	leaving.Wait()
	for _, name := range accounts {
		j.metrics.Forget("account", name)
	}
	for _, name := range sinks {
		j.metrics.Forget("sink", name)
	}
}

// refuse says why a configuration is not followed, each fault in a line.
func refuse(log zerolog.Logger, err error) {
	for line := range strings.SplitSeq(strings.TrimSpace(fmt.Sprint(err)), "\n") {
		log.Error().Str("fault", line).Msg("configuration is not loaded again, the old one holds")
	}
}
