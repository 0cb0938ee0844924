package overlay

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// Event is a treat in the journal. Its Seq is the number by which a stage orders treats and remembers its position.
type Event struct {
	pipeline.Record
	Time      time.Time // when the treat was sent
	Journaled time.Time // by the clock of this computer; zero: unknown
}

// maxSkew is how far the clock of this computer, or its idea of the provider's time zone, may be wrong.
const maxSkew = 24 * time.Hour

// current is when the treat was news. That of a live one is when it came, because the clock of this computer may differ from the provider's.
func (e Event) current() time.Time {
	if ahead := e.Journaled.Sub(e.Time); e.Origin == pipeline.OriginLive && 0 < ahead && ahead < maxSkew {
		return e.Journaled
	}
	return e.Time
}

// FollowRequest selects the events of [Feed].
type FollowRequest struct {
	Accounts []string  // empty: all accounts
	After    uint64    // by the number in the journal, exclusive
	Since    time.Time // if After is 0, by the time of journaling; zero: all
}

// Feed is what a stage reads of the journal. Its methods are safe for concurrent use.
type Feed interface {
	// Follow calls visit with each treat in the order of the journal, and waits for new ones until ctx ends; then it
	// returns nil. It stops with the error of visit.
	Follow(ctx context.Context, r FollowRequest, visit func(Event) error) error
	// Find returns the treat with the number or, if number is 0, with the id. If there is none, the error is [ErrNoTreat].
	Find(ctx context.Context, number uint64, id string) (Event, error)
	// Last returns the highest number in the journal, or 0.
	Last(ctx context.Context) (uint64, error)
}

// Store keeps small values durably. Its methods are safe for concurrent use. Nobody else writes the keys of overlays.
type Store interface {
	// Get returns the value of a key, or nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Put stores a value. It is durable when Put returns.
	Put(ctx context.Context, key string, value []byte) error
	// Delete removes a key. It returns nil if there is none.
	Delete(ctx context.Context, key string) error
}

// Config has what all overlays of a relay share.
type Config struct {
	Feed     Feed
	Store    Store
	Files    string         // the folder with a folder for each overlay; empty: there is none
	Location *time.Location // whose midnight begins a day and a month of the counter; nil: local time
	Log      zerolog.Logger
}

var (
	// ErrNoTreat means that the journal does not have the treat.
	ErrNoTreat = errors.New("the journal has no such treat")
	// ErrNoOverlay means that there is no overlay of that name.
	ErrNoOverlay = errors.New("there is no such overlay")
	// ErrNoKey means that the overlay has no such key.
	ErrNoKey = errors.New("the overlay has no such key")
	// ErrNotShowing means that a report is about an alert whose turn is over. The page must not show it.
	ErrNotShowing = errors.New("another alert is shown")
	// ErrTooManyPages means that the overlay is open too often.
	ErrTooManyPages = errors.New("the overlay is open too often; close some of its pages")
	// ErrLeftOut means that the overlay does not show the account of a treat.
	ErrLeftOut = errors.New("the overlay leaves this account out; add it to the overlay's accounts in relay.yaml")
	// ErrTooManyAsked means that 100 tests and repeats wait.
	ErrTooManyAsked = errors.New("100 alerts that were asked for wait already; open the overlay, or clear it")
	// ErrOtherAccounts means that a key for one account opened an overlay that shows others too.
	ErrOtherAccounts = errors.New("the key is for one account, but the overlay shows others too; limit the overlay to that account")
)
