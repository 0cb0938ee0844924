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
	// Every is the interval between comparisons with the history, varied by a tenth. 0: only when
	// [Reconciler.Reconcile] is called.
	Every time.Duration
	// BackfillFirstRun backfills everything that the history holds at an account's first comparison, instead of taking
	// it as known.
	BackfillFirstRun bool
	// Logins distinguishes logins; nil: all are the same.
	Logins Logins
}

// History is a provider's list of the past treats of one account.
type History interface {
	// Fetch requests the list and returns the complete reply, which the caller closes. The text of an error contains no
	// secret. Calls do not overlap.
	Fetch(ctx context.Context) (history.Reply, error)
}

// Reconciler fills gaps. It compares the provider's history of one account with the journal, and backfills missing
// treats, oldest first. Treats from before the account's baseline are known and not backfilled. The baseline is the
// first login or start, or the login to another channel. Methods are safe for concurrent use.
type Reconciler struct {
	intake  *Intake
	history History
	cfg     ReconcileConfig
	log     zerolog.Logger
	wake    chan struct{}
	asked   chan chan<- outcome
	ended   chan struct{}

	// The fields below are owned by Run.
	retry          *backoff.ExponentialBackOff
	logged         string // the last failure that was logged; empty: none
	batches        batches
	loggedOddities map[string]bool // oddities of the history that were logged
	base           baselineCache
}

// Reconciliation is the result of one comparison.
type Reconciliation struct {
	Account   string `json:"account"`
	FirstRun  bool   `json:"first_run"` // the first comparison of the account or of another channel
	Held      int    `json:"held"`      // treats of the history that were compared
	Known     int    `json:"known"`     // of those, dated before the baseline and known since this comparison
	Healed    int    `json:"healed"`    // of those, journaled now
	Rewritten int    `json:"rewritten"` // of those, in the journal with another zone or fewer fields
	// Withheld treats may be live ones in a form that is not recognized. They are not journaled. WithheldFrom is the
	// date of the first.
	Withheld     int       `json:"withheld"`
	WithheldFrom time.Time `json:"withheld_from,omitzero"`

	Older    int    `json:"older"`         // treats from before the journal's time, not compared
	Undated  int    `json:"undated"`       // treats without a readable date, not compared
	Unusable int    `json:"unusable"`      // other items of the history
	Cut      string `json:"cut,omitempty"` // why pages of the history were skipped
	NoList   bool   `json:"no_list"`       // the reply had no list, which counts as an empty one
	Refused  bool   `json:"refused"`       // the reply also reported a failure
}

type outcome struct {
	result Reconciliation
	err    error
}

const (
	// minPause is the least time between automatic comparisons, since a connection may flap.
	minPause = 5 * time.Second
	// reconcileLimit bounds one comparison on a slow disk or with a slow provider.
	reconcileLimit = 30 * time.Minute
	// recheckDelay is the delay of another comparison after the one at a connection, since a provider may take a while to
	// add a treat to its history.
	recheckDelay = time.Minute
	// retryDelay is the delay after a failed comparison. It doubles each time, up to the interval.
	retryDelay = 10 * time.Second
	// healWindow bounds the backfilled events that wait for the disk at a time, so that a live event waits only for a
	// few.
	healWindow = 64
)

var (
	errReconcileLimit = errors.New("the comparison with the history takes more than 30 minutes")
	errNotReconciling = errors.New("relay is stopping")
)

// NewReconciler makes the reconciler of an intake's account. The caller runs [Reconciler.Run].
func NewReconciler(in *Intake, h History, cfg ReconcileConfig) *Reconciler {
	return &Reconciler{
		intake: in, history: h, cfg: cfg, log: in.log, wake: make(chan struct{}, 1),
		asked: make(chan chan<- outcome), ended: make(chan struct{}), loggedOddities: make(map[string]bool), batches: batches{due: true},
		retry: backoff.NewExponentialBackOff(backoff.WithInitialInterval(retryDelay), backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0.1), backoff.WithMaxInterval(max(cfg.Every, retryDelay)), backoff.WithMaxElapsedTime(0)),
	}
}

// Wake requests a comparison soon. Call it whenever the source is connected, since treats may have been missed before.
// It does not block. Without an interval nothing is compared, and only an interrupted backfill gets its backfill batch.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Reconcile compares the history now and returns the result. [Reconciler.Run] does the work, and finishes it even if
// ctx ends.
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

// Withheld returns how many treats the last comparison has withheld, because they may be live ones in a form that is
// not recognized.
func (r *Reconciler) Withheld() int { return int(r.base.withheld.Load()) }

// Run makes the comparisons, one at a time, until ctx ends. It must return before the journal is closed. Call it once.
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
				_ = r.writeBatches(ctx) // the error is logged
				continue
			}
			connected = true
			at := time.Now()
			if pause := last.Add(minPause); at.Before(pause) {
				at = pause
			}
			schedule(at)
		case answer := <-r.asked:
			result, err := r.reconcile(ctx)
			answer <- outcome{result, err}
		case <-timer.C:
			_, err := r.reconcile(ctx) // the error is logged
			last, due = time.Now(), time.Time{}
			schedule(last.Add(r.nextDelay(err, connected)))
			connected = connected && err != nil
		}
	}
}

// nextDelay returns how long to wait after a comparison. connected is true if the source had connected before it.
func (r *Reconciler) nextDelay(err error, connected bool) time.Duration {
	switch {
	case err != nil:
		return min(r.retry.NextBackOff(), r.interval())
	case connected:
		r.retry.Reset()
		return min(recheckDelay, r.interval())
	}
	r.retry.Reset()
	return r.interval()
}

func (r *Reconciler) interval() time.Duration {
	return r.cfg.Every*9/10 + rand.N(r.cfg.Every/5+1) //nolint:gosec // jitter
}

// reconcile makes one comparison, logs it, and writes backfill batches for the treats that it or an earlier one has backfilled.
func (r *Reconciler) reconcile(ctx context.Context) (Reconciliation, error) {
	result, err := r.compare(ctx)
	r.batches.compared = r.batches.compared || err == nil
	r.batches.due = r.batches.due || err == nil // another process may have backfilled and been killed before it wrote the batch
	if markErr := r.writeBatches(ctx); err == nil {
		err = markErr
	}
	return result, err
}

// compare makes one comparison and logs it.
func (r *Reconciler) compare(ctx context.Context) (Reconciliation, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, reconcileLimit, errReconcileLimit)
	defer cancel()
	result, err := r.compareOnce(bounded)
	account, m := r.intake.norm.Account, r.intake.metrics
	m.Healed.WithLabelValues(account).Add(float64(result.Healed))
	switch {
	case ctx.Err() != nil && err != nil:
		return result, err // shutting down
	case err != nil:
		kind := "failed"
		if errors.Is(err, history.ErrUnreadable) {
			kind = "unreadable"
		}
		m.Reconciled.WithLabelValues(account, kind).Inc()
		level := zerolog.DebugLevel
		if text := err.Error(); text != r.logged {
			level, r.logged = zerolog.WarnLevel, text
		}
		r.log.WithLevel(level).Err(err).Msg("history cannot be compared: missed treats stay missing until it can")
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

// report logs changes.
func (r *Reconciler) report(result Reconciliation) {
	if r.logged != "" {
		r.logged = ""
		r.log.Info().Msg("history can be compared again")
	}
	if result.FirstRun {
		r.log.Info().Int("treats", result.Known).Msg("first comparison with the history: treats dated before the login or start count as known and are not delivered")
	}
	if result.Healed > 0 {
		r.log.Info().Int("treats", result.Healed).Msg("missed treats are journaled from the history")
	}
	if text := "history has no list of treats: it counts as empty"; result.NoList && !r.loggedOddities[text] {
		r.loggedOddities[text] = true
		r.log.Warn().Bool("no_success", result.Refused).Msg(text)
	}
	if text := "history has pages that are not read: treats missed in their time are not journaled"; result.Cut != "" && !r.loggedOddities[text] {
		r.loggedOddities[text] = true
		r.log.Warn().Str("reason", result.Cut).Msg(text)
	}
	if text := "history has treats that may be live ones in a form that cannot be recognized: not journaled from it"; result.Withheld > 0 && !r.loggedOddities[text] {
		r.loggedOddities[text] = true
		r.log.Warn().Int("treats", result.Withheld).Time("first", result.WithheldFrom).Msg(text)
	} else if result.Withheld == 0 && result.Held > 0 {
		delete(r.loggedOddities, text)
	}
	once := func(n int, text string) {
		if n > 0 && !r.loggedOddities[text] {
			r.loggedOddities[text] = true
			r.log.Warn().Int("treats", n).Msg(text)
		}
	}
	once(result.Undated, "history has treats whose date cannot be read: they are never journaled from it")
	once(result.Unusable, "history has items that are not treats: they are skipped")
	once(result.Rewritten, "history has treats with another date or fewer fields than the socket: they count as the same; if times are wrong, set timezone")
}
