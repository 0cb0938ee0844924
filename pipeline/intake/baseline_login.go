package intake

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/match"
)

// A Login is the login at the provider that a token comes from. Another login may belong to another channel.
type Login struct {
	ID string    // empty: unknown
	At time.Time // when it was made, by the provider's clock; zero: unknown
	// Fresh is true if no journal has a baseline made with this login yet; see [Logins].
	Fresh bool
}

// Logins provides the login of an account.
type Logins interface {
	// Login returns the login of the account's tokens. It reports false if there is none.
	Login() (Login, bool)
	// Adopt records that the journal has a baseline made with the login of that ID. If the journal is empty runNext, it
	// was emptied.
	Adopt(ctx context.Context, id string) error
}

// An answered reply knows the login it was requested with, and how far the provider's clock is ahead of this machine's.
type answered interface {
	Answered() (login Login, ahead time.Duration)
}

// baselineCache is what a reconciler knows about the account's baseline in addition to the state.
type baselineCache struct {
	whole string    // the id of a baseline that was found to be complete
	began time.Time // when the baseline was first requested
	// withheld is the count of the last comparison.
	withheld atomic.Int64
}

// Begin makes the account's baseline durable if it has none. Treats dated before it are known; runNext ones are
// backfilled, however late the history can be read. The cutoff is the time of the login, or else now. Call Begin before
// [Reconciler.Run] and before the source connects. Without a login it does nothing. After an error the cutoff is kept
// in memory, and made durable with the next comparison.
func (r *Reconciler) Begin(ctx context.Context) error {
	if r.cfg.Logins == nil {
		return nil
	}
	login, ok := r.cfg.Logins.Login()
	if !ok {
		return nil
	}
	now := time.Now().Round(0).UTC()
	if r.base.began.IsZero() {
		r.base.began = now
	}
	_, _, err := r.loadBaseline(ctx, now, login)
	return err
}

// login returns the login that a reply was requested with.
func (r *Reconciler) login(reply history.Reply) (login Login, ahead time.Duration) {
	if a, ok := reply.(answered); ok {
		return a.Answered()
	}
	if r.cfg.Logins != nil {
		login, _ = r.cfg.Logins.Login()
	}
	return login, 0
}

const (
	// maxEarlier bounds the number of earlier baselines of an account.
	maxEarlier = 32
	// before is how far before the baseline a new treat may be dated, because its date has another zone or the clock is
	// slow.
	before = 24 * time.Hour
)

// createBaseline creates the baseline of an account that has none.
func (r *Reconciler) createBaseline(ctx context.Context, retention time.Duration, login Login) (*baseline, error) {
	b := newBaseline(retention)
	b.Records, b.Login, b.Cutoff, b.Local = pendingRecords, login.ID, b.Made, true
	if !r.base.began.IsZero() {
		b.Cutoff = r.base.began
	}
	if login.Fresh && !login.At.IsZero() {
		b.Cutoff, b.Local = login.At, false
	}
	if err := r.intake.putBaseline(ctx, b); err != nil {
		return nil, err
	}
	r.log.Info().Time("baseline", b.Cutoff).Msg("account is new: treats dated before the baseline are known, later ones are delivered")
	return b, nil
}

// pendingRecords is the number of records of a baseline before its first comparison.
const pendingRecords = -1

// pending reports whether the baseline had no comparison yet.
func (b *baseline) pending() bool { return b.Records < 0 }

// noteLogin records the time of a new login. It reports whether that changed the baseline.
func (b *baseline) noteLogin(login Login, now time.Time) bool {
	switch {
	case b.pending():
		changed := b.Login != login.ID
		b.Login = login.ID
		return changed
	case login.ID == b.Login:
		changed := !b.Changed.IsZero()
		b.Changed = time.Time{}
		return changed
	case !b.Changed.IsZero():
		return false
	case login.At.IsZero():
		b.Changed = now.Round(0).UTC()
	default:
		b.Changed = login.At
	}
	return true
}

// renew replaces it with a new baseline without treats.
func (b *baseline) renew() {
	next := newBaseline(b.Retention)
	b.ID, b.Made, b.Known, b.Records = next.ID, next.Made, 0, 0
}

// replaceChannel makes it the baseline of another channel, and keeps the id of the earlier one.
func (b *baseline) replaceChannel() {
	b.Earlier = append(b.Earlier, b.ID)
	b.Earlier = b.Earlier[max(0, len(b.Earlier)-maxEarlier):]
	b.renew()
}

// noteReply records the channels and the login of a reply. It reports whether that changed the baseline.
func (b *baseline) noteReply(login Login, channels map[string]bool) (changed bool) {
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		if !slices.Contains(b.Channels, name) {
			b.Channels, changed = append(b.Channels, name), true
		}
	}
	if n := len(b.Channels); n > history.MaxChannels {
		b.Channels = b.Channels[n-history.MaxChannels:]
	}
	changed = changed || b.Login != login.ID || !b.Changed.IsZero()
	b.Login, b.Changed = login.ID, time.Time{}
	return changed
}

// cutoff returns the time before which treats are known. ahead is how far the provider's clock is ahead.
func (b *baseline) cutoff(ahead time.Duration) time.Time {
	switch {
	case b.Cutoff.IsZero():
		return b.Made // made by an older version
	case b.Local:
		return b.Cutoff.Add(ahead)
	}
	return b.Cutoff
}

// floor returns a time before which all treats are known; zero: there is none.
func (b *baseline) floor() time.Time {
	if b.pending() || b.Cutoff.IsZero() {
		return time.Time{}
	}
	return b.Cutoff.Add(-before)
}

// otherChannel reports whether a reply for a new login is of a channel that the account has not had, and returns the
// cutoff for it. Relay's treats must be counted.
//
// The receivers decide. If the reply or the earlier ones had none, it is another channel if it holds none of relay's
// treats from before the login. If relay has none from that time either, it is undecidable: then treats dated before
// the first baseline are known.
func (b *baseline) otherChannel(c *match.Comparison, channels map[string]bool, ahead time.Duration) (other bool, cutoff time.Time) {
	for _, name := range b.Channels {
		if channels[name] {
			return false, time.Time{}
		}
	}
	if len(b.Channels) > 0 && len(channels) > 0 {
		return true, b.Changed
	}
	shared, has := c.Shares(b.Changed.Unix())
	switch {
	case shared:
		return false, time.Time{}
	case has, b.Known > 0, len(b.Earlier) > 0:
		return true, b.Changed
	}
	return true, b.cutoff(ahead)
}

// adopt records that the journal has a baseline made with the login.
func (r *Reconciler) adopt(ctx context.Context, login Login) {
	if !login.Fresh || r.cfg.Logins == nil {
		return
	}
	if err := r.cfg.Logins.Adopt(ctx, login.ID); err != nil && ctx.Err() == nil {
		r.log.Debug().Err(err).Msg("login is not recorded as known to the journal yet")
	}
}

// restoreBaseline rebuilds a baseline that the state has lost from the index. It returns nil if the index knows none.
func (in *Intake) restoreBaseline(ctx context.Context, login Login) (*baseline, error) {
	s := in.index.Account(in.norm.Account)
	if s.BaselineID == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	b := &baseline{
		ID: s.BaselineID, Made: s.BaselineMade, Known: s.BaselineSize, Records: s.BaselineSize, Retention: in.journal.Retention(), Login: login.ID,
	}
	in.log.Warn().Time("made", b.Made).Msg("baseline of the history is missing from the journal's state: restored from the journal")
	return b, in.putBaseline(ctx, b)
}
