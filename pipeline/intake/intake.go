// Package intake takes what the sources receive into the journal: it decodes treats, normalizes them, counts exact repeats, and fills gaps from
// the provider's history.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Normalizer turns the treats of one account into events.
type Normalizer struct {
	Account  string
	Provider string
	// Location is the zone of date_created, which names none.
	Location *time.Location
	// KeepRaw puts the provider's whole object into the event's data.raw.
	KeepRaw bool
}

// TestEvent makes an event of the origin test, as if a treat had come at that time. Its id is its own, in a namespace of its own:
// it is never taken for a treat or the repeat of one. An empty sender makes it anonymous.
func (n *Normalizer) TestEvent(time.Time, string, string, string) pipeline.Event {
	return pipeline.Event{}
}

// PutTest journals a test event: for every sink, or, if sink is not empty, for that one only. It returns when it is on disk.
func PutTest(context.Context, *journal.Journal, *pipeline.Event, string) error { return errTODO }

// Intake takes what the source of one account receives into the journal.
type Intake struct{}

// Config configures an [Intake].
type Config struct {
	Normalizer
	Journal *journal.Journal
	Index   *index.Index // of that journal
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics
}

var errTODO = errors.New("not there yet")

// New makes the intake of one account.
func New(Config) *Intake { return nil }

// CatchUp counts the repeats that others have journaled, or this process before a restart. Call it before each connection
// of the source: then what arrives on the connection continues the count.
func (in *Intake) CatchUp(context.Context) error { return errTODO }

// Handle takes in the arguments of one realTimeTreat: it returns when every treat in it is queued for the journal,
// in the order of the calls. A payload that cannot be a treat is queued as a reject. The error is not nil only
// if ctx ended before that.
func (in *Intake) Handle(context.Context, []json.RawMessage, time.Time) error { return errTODO }

// Flush returns when everything that was handled before the call is on disk, or with the cause of the end of ctx.
func (in *Intake) Flush(context.Context) error { return errTODO }

// ReconcileConfig configures a [Reconciler].
type ReconcileConfig struct {
	// Every is how often the history is compared, give or take a tenth. 0: only when [Reconciler.Reconcile] asks for it.
	Every time.Duration
	// BackfillFirstRun journals what the history holds at an account's very first comparison, instead of taking it for known.
	BackfillFirstRun bool
}

// Reconciler fills gaps: it compares the provider's history of one account with the journal and journals what is missing, oldest
// first, with origin backfill.
type Reconciler struct{}

// Reconciliation is what came of one comparison.
type Reconciliation struct {
	Account   string `json:"account"`
	FirstRun  bool   `json:"first_run"` // nothing was to be journaled
	Held      int    `json:"held"`      // treats of the history that were compared
	Known     int    `json:"known"`     // of those, taken for known by this first run
	Healed    int    `json:"healed"`    // of those, journaled now
	Rewritten int    `json:"rewritten"` // of those, in the journal with another zone or fewer fields
	Older     int    `json:"older"`     // treats from before the journal's time, not compared
	Undated   int    `json:"undated"`   // treats whose date cannot be read, not compared
	Unusable  int    `json:"unusable"`  // other things in the history
}

// NewReconciler makes the reconciler of an intake's account.
func NewReconciler(*Intake, History, ReconcileConfig) *Reconciler { return nil }

// Wake has the history compared soon.
func (r *Reconciler) Wake() {}

// Reconcile compares the history now and returns what came of it. [Reconciler.Run] does the work, and finishes it even if ctx ends.
func (r *Reconciler) Reconcile(context.Context) (Reconciliation, error) {
	return Reconciliation{}, errTODO
}

// Run compares when it is time, one comparison after the other, until ctx ends. It must have returned before the journal is
// closed. It is to be called once.
func (r *Reconciler) Run(context.Context) {}

// History is a provider's list of the past treats of one account.
type History interface {
	// Fetch asks for the list and returns one reply, which has come whole. The caller closes it. The text of an error holds no
	// secret. Fetch is not called by two goroutines at once.
	Fetch(ctx context.Context) (Reply, error)
}

// Reply is what a provider answered: JSON of any shape. It is read once from its beginning, and then in pieces.
type Reply interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// ErrHistoryUnreadable says that a reply is not a list of treats. Nothing of it is used.
var ErrHistoryUnreadable = errors.New("the history cannot be read")
