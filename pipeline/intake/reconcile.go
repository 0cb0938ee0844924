package intake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/intake/history"
)

// ReconcileConfig configures a [Reconciler].
type ReconcileConfig struct {
	// Every is how often the history is compared, give or take a tenth. 0: only when [Reconciler.Reconcile] asks for it.
	Every time.Duration
	// BackfillFirstRun journals what the history holds at an account's very first comparison, instead of taking it for known.
	BackfillFirstRun bool
	// Logins tells one login from another; nil: all are the same.
	Logins Logins
}

// History is a provider's list of the past treats of one account.
type History interface {
	// Fetch asks for the list and returns one reply, which has come whole. The caller closes it. The text of an error holds no
	// secret. Fetch is not called by two goroutines at once.
	Fetch(ctx context.Context) (history.Reply, error)
}

// Reconciler fills gaps: it compares the provider's history of one account with the journal and journals what is missing, oldest
// first, with origin backfill. What the history holds of the time before the account's baseline is taken for known, and is not journaled: that is
// its first login or start, or the login of another channel.
// Its methods may be called by several goroutines.
type Reconciler struct {
	intake  *Intake
	history History
	cfg     ReconcileConfig
	log     zerolog.Logger
	wake    chan struct{}
	asked   chan chan<- outcome
	ended   chan struct{}

	// The rest belongs to Run.
	retry   *backoff.ExponentialBackOff
	trouble string // the last one that was logged; empty if there is none
	marks   marking
	noted   map[string]bool // oddities of the history that were logged
	base    basis
}

// Reconciliation is what came of one comparison.
type Reconciliation struct {
	Account   string `json:"account"`
	FirstRun  bool   `json:"first_run"` // it was the first one of the account, or of another channel
	Held      int    `json:"held"`      // treats of the history that were compared
	Known     int    `json:"known"`     // of those, taken for known by this first run: they are dated before the baseline
	Healed    int    `json:"healed"`    // of those, journaled now
	Rewritten int    `json:"rewritten"` // of those, in the journal with another zone or fewer fields
	// Withheld are those that may be live ones in a form that cannot be recognized: they are not journaled. The first is dated so.
	Withheld     int       `json:"withheld"`
	WithheldFrom time.Time `json:"withheld_from,omitzero"`

	Older    int    `json:"older"`         // treats from before the journal's time, not compared
	Undated  int    `json:"undated"`       // treats whose date cannot be read, not compared
	Unusable int    `json:"unusable"`      // other things in the history
	Cut      string `json:"cut,omitempty"` // why pages of the history were left out
	NoList   bool   `json:"no_list"`       // the reply had no list, which is taken for none: nothing was compared
	Refused  bool   `json:"refused"`       // and it said that it is no success
}

type outcome struct {
	result Reconciliation
	err    error
}

const (
	// reconcilePause is the least time between two comparisons that nobody asked for: a connection may come and go.
	reconcilePause = 5 * time.Second
	// reconcileLimit bounds one comparison, the disk and the provider being slow.
	reconcileLimit = 30 * time.Minute
	// secondLook is how long after the comparison at a connection another one is made: a provider may take a while to put into its history
	// what it has just sent.
	secondLook = time.Minute
	// reconcileRetry is how long after a comparison that failed another one is made. The wait doubles each time, up to the interval.
	reconcileRetry = 10 * time.Second
	// healWindow is how many events from the history wait for the disk at a time, so that a live one need not wait for many.
	healWindow = 64
)

var (
	errReconcileLimit = errors.New("the comparison with the history takes more than 30 minutes")
	errNotReconciling = errors.New("relay is stopping")
)

// NewReconciler makes the reconciler of an intake's account.
func NewReconciler(in *Intake, h History, cfg ReconcileConfig) *Reconciler {
	return &Reconciler{
		intake: in, history: h, cfg: cfg, log: in.log, wake: make(chan struct{}, 1),
		asked: make(chan chan<- outcome), ended: make(chan struct{}), noted: make(map[string]bool), marks: marking{due: true},
		retry: backoff.NewExponentialBackOff(backoff.WithInitialInterval(reconcileRetry), backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0.1), backoff.WithMaxInterval(max(cfg.Every, reconcileRetry)), backoff.WithMaxElapsedTime(0)),
	}
}

// Wake has the history compared soon. Call it whenever the source is connected: treats may have been missed until then. It does not
// wait. If the configuration has no interval, nothing is compared, and only what a healing that was cut off has left is summed up.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Reconcile compares the history now and returns what came of it. [Reconciler.Run] does the work, and finishes it even if ctx ends.
func (r *Reconciler) Reconcile(ctx context.Context) (Reconciliation, error) {
	answer := make(chan outcome, 1)
	select {
	case r.asked <- answer:
	case <-r.ended:
		return Reconciliation{}, errNotReconciling
	case <-ctx.Done():
		return Reconciliation{}, context.Cause(ctx)
	}
	select {
	case o := <-answer:
		return o.result, o.err
	case <-ctx.Done():
		return Reconciliation{}, context.Cause(ctx)
	}
}

// Withheld is how many treats the history last held that may be live ones in a form that cannot be recognized. They are not journaled from it.
func (r *Reconciler) Withheld() int { return int(r.base.withheld.Load()) }

// Run compares when it is time, one comparison after the other, until ctx ends. It must have returned before the journal is
// closed. It is to be called once.
func (r *Reconciler) Run(ctx context.Context) {
	defer close(r.ended)
	var last, due time.Time
	connected := false // since the last comparison
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	schedule := func(at time.Time) {
		if r.cfg.Every > 0 && (due.IsZero() || at.Before(due)) {
			due = at
			timer.Reset(time.Until(due))
		}
	}
	schedule(time.Now().Add(r.interval()))
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			if r.cfg.Every == 0 {
				_ = r.markHealed(ctx) // which has reported it
				continue
			}
			connected = true
			at := time.Now()
			if pause := last.Add(reconcilePause); at.Before(pause) {
				at = pause
			}
			schedule(at)
		case answer := <-r.asked:
			result, err := r.reconcile(ctx)
			answer <- outcome{result, err}
		case <-timer.C:
			_, err := r.reconcile(ctx) // which has reported an error
			last, due = time.Now(), time.Time{}
			schedule(last.Add(r.rest(err, connected)))
			connected = connected && err != nil
		}
	}
}

// rest is how long to wait after a comparison that ended so. connected says that the source was connected before it.
func (r *Reconciler) rest(err error, connected bool) time.Duration {
	switch {
	case err != nil:
		return min(r.retry.NextBackOff(), r.interval())
	case connected:
		r.retry.Reset()
		return min(secondLook, r.interval())
	}
	r.retry.Reset()
	return r.interval()
}

func (r *Reconciler) interval() time.Duration {
	return r.cfg.Every*9/10 + rand.N(r.cfg.Every/5+1) //nolint:gosec // it guards nothing
}

// reconcile makes one comparison, reports it, and sums up what was healed, by this one or before.
func (r *Reconciler) reconcile(ctx context.Context) (Reconciliation, error) {
	result, err := r.compare(ctx)
	r.marks.compared = r.marks.compared || err == nil
	r.marks.due = r.marks.due || err == nil // also what another process has healed and did not live to sum up
	if markErr := r.markHealed(ctx); err == nil {
		err = markErr
	}
	return result, err
}

// compare makes one comparison, and reports it.
func (r *Reconciler) compare(ctx context.Context) (Reconciliation, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, reconcileLimit, errReconcileLimit)
	defer cancel()
	result, err := r.attempt(bounded)
	account, m := r.intake.norm.Account, r.intake.metrics
	m.Healed.WithLabelValues(account).Add(float64(result.Healed))
	switch {
	case ctx.Err() != nil && err != nil:
		return result, err // stopped
	case err != nil:
		kind := "failed"
		if errors.Is(err, history.ErrUnreadable) {
			kind = "unreadable"
		}
		m.Reconciled.WithLabelValues(account, kind).Inc()
		level := zerolog.DebugLevel
		if text := err.Error(); text != r.trouble {
			level, r.trouble = zerolog.WarnLevel, text
		}
		r.log.WithLevel(level).Err(err).Msg("history is not compared: treats that were missed stay missing until it can be")
		return result, fmt.Errorf("compare the history of %s: %w", account, err)
	}
	m.Reconciled.WithLabelValues(account, "ok").Inc()
	m.HealedAt.WithLabelValues(account).SetToCurrentTime()
	r.base.withheld.Store(int64(result.Withheld))
	m.Withheld.WithLabelValues(account).Set(float64(result.Withheld))
	m.Unusable.WithLabelValues(account).Set(float64(result.Undated + result.Unusable))
	r.report(result)
	return result, nil
}

// report logs what is news.
func (r *Reconciler) report(result Reconciliation) {
	if r.trouble != "" {
		r.trouble = ""
		r.log.Info().Msg("history can be compared again")
	}
	if result.FirstRun {
		r.log.Info().Int("treats", result.Known).Msg("first look at the history: what is dated before the login or start is known from now on and not delivered")
	}
	if result.Healed > 0 {
		r.log.Info().Int("treats", result.Healed).Msg("treats that were missed are journaled from the history")
	}
	if text := "history has no list of treats in it: taken for one without treats"; result.NoList && !r.noted[text] {
		r.noted[text] = true
		r.log.Warn().Bool("no_success", result.Refused).Msg(text)
	}
	if text := "history has pages that are left out: what was missed in their time is not journaled"; result.Cut != "" && !r.noted[text] {
		r.noted[text] = true
		r.log.Warn().Str("reason", result.Cut).Msg(text)
	}
	if text := "history has treats that may be live ones in a form that cannot be recognized: not journaled from it"; result.Withheld > 0 && !r.noted[text] {
		r.noted[text] = true
		r.log.Warn().Int("treats", result.Withheld).Time("first", result.WithheldFrom).Msg(text)
	} else if result.Withheld == 0 && result.Held > 0 {
		delete(r.noted, text)
	}
	once := func(n int, text string) {
		if n > 0 && !r.noted[text] {
			r.noted[text] = true
			r.log.Warn().Int("treats", n).Msg(text)
		}
	}
	once(result.Undated, "history has treats whose date cannot be read: they are never journaled from it")
	once(result.Unusable, "history has items that are no treats: left out")
	once(result.Rewritten, "history has treats with another date or fewer fields than the socket: taken for the same; if times are off, set timezone")
}
