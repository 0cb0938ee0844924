package intake

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
)

// A Login is the login at the provider that a token comes from. Another login may be that of another channel.
type Login struct {
	ID string    // empty if it is not known
	At time.Time // when it was made, by the provider's clock; zero if that is not known
	// Fresh says that no journal has taken over the moment of the login; see [Logins].
	Fresh bool
}

// Logins says which login an account has.
type Logins interface {
	// Login returns that of the account's tokens, and false if there is none.
	Login() (Login, bool)
	// Adopt notes that the journal has a baseline that was made with the login of that ID: a journal that is empty later was emptied.
	Adopt(ctx context.Context, id string) error
}

// An answered reply knows which login it was given to, and how far the provider's clock is ahead of that of this machine.
type answered interface {
	Answered() (login Login, ahead time.Duration)
}

// basis is what a reconciler knows of its account's baseline beside what is in the state of the journal, and of what was compared with it.
type basis struct {
	whole string    // the id of the one whose treats were found to be there
	began time.Time // when it was first asked for
	// withheld is that of the last comparison. It is for any goroutine.
	withheld atomic.Int64
}

// Begin makes the account's baseline durable, if it has none: what is dated before is known, and what comes after is journaled from the
// history however late that can be read. That moment is the login, or else now. Call it before [Reconciler.Run], and before the source
// connects. If there is no login, it does nothing. After an error the moment is kept in memory, and made durable when the history is compared.
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
	_, _, err := r.horizon(ctx, now, login)
	return err
}

// login is the one that a reply was given to.
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
	// maxEarlier bounds how many baselines are remembered of an account, beside as many channels as of a reply.
	maxEarlier = 32
	// before is how much older than the baseline a treat can be that is new: its date may be of another zone, or of a clock that is slow.
	before = 24 * time.Hour
)

// foundBaseline makes a baseline for an account that has none: nothing was compared with it yet.
func (r *Reconciler) foundBaseline(ctx context.Context, retention time.Duration, login Login) (*baseline, error) {
	b := newBaseline(retention)
	b.Records, b.Login, b.Moment, b.Local = pendingRecords, login.ID, b.Made, true
	if !r.base.began.IsZero() {
		b.Moment = r.base.began
	}
	if login.Fresh && !login.At.IsZero() {
		b.Moment, b.Local = login.At, false
	}
	if err := r.intake.putBaseline(ctx, b); err != nil {
		return nil, err
	}
	r.log.Info().Time("baseline", b.Moment).Msg("account is new here: treats dated before are known, and those after it are delivered")
	return b, nil
}

// pendingRecords is the number of records of a baseline with which nothing was compared yet.
const pendingRecords = -1

// pending reports whether no reply was compared with the baseline yet.
func (b *baseline) pending() bool { return b.Records < 0 }

// notice remembers the moment of a login that is another one than the baseline's, and reports whether the baseline was changed by that.
func (b *baseline) notice(login Login, now time.Time) bool {
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

// renew makes a new one of it, without treats.
func (b *baseline) renew() {
	next := newBaseline(b.Retention)
	b.ID, b.Made, b.Known, b.Records = next.ID, next.Made, 0, 0
}

// follow makes it the baseline of another channel, beside those before.
func (b *baseline) follow() {
	b.Earlier = append(b.Earlier, b.ID)
	b.Earlier = b.Earlier[max(0, len(b.Earlier)-maxEarlier):]
	b.renew()
}

// settle takes over what a reply showed: the channels that it is of, and the login.
func (b *baseline) settle(login Login, channels map[string]bool) (changed bool) {
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

// cutoff is the moment of the baseline: treats that are dated before are known. ahead is how far the provider's clock is ahead.
func (b *baseline) cutoff(ahead time.Duration) time.Time {
	switch {
	case b.Moment.IsZero():
		return b.Made // an older relay made it
	case b.Local:
		return b.Moment.Add(ahead)
	}
	return b.Moment
}

// floor is the time before which treats are known in any case; zero: there is none.
func (b *baseline) floor() time.Time {
	if b.pending() || b.Moment.IsZero() {
		return time.Time{}
	}
	return b.Moment.Add(-before)
}

// otherChannel reports whether a reply that was given to another login than those before is of another channel, and not of one that the account
// has had. It is to be called when relay's treats are counted.
//
// The receivers tell. Where the reply or those before had none, it is another channel if nothing of what relay has from before the login is in
// it. If there is nothing from before the login either, it cannot be told: then what is dated before the first baseline is known.
func (b *baseline) otherChannel(c *comparison, channels map[string]bool, ahead time.Duration) (other bool, cutoff time.Time) {
	for _, name := range b.Channels {
		if channels[name] {
			return false, time.Time{}
		}
	}
	if len(b.Channels) > 0 && len(channels) > 0 {
		return true, b.Changed
	}
	shared, has := c.shares(b.Changed.Unix())
	switch {
	case shared:
		return false, time.Time{}
	case has, b.Known > 0, len(b.Earlier) > 0:
		return true, b.Changed
	}
	return true, b.cutoff(ahead)
}

// inZone moves a cutoff to where it is among the dates of a reply that was given at that time, if these name no zone and are of another than the
// configured one: as the newest live treat was when it came, or as far east as dates of the future show.
func (c *comparison) inZone(cutoff, now time.Time, newest *index.Hit, ahead time.Duration) time.Time {
	const tolerance = 2 * time.Minute
	if len(c.treats) == 0 || !c.treats[len(c.treats)-1].When.Floating {
		return cutoff
	}
	if newest.When.Floating && !newest.Backfill {
		late := newest.When.In(c.zone).Sub(newest.Journaled.Add(ahead))
		zones := late.Round(quarter * time.Second)
		if off := zones.Abs(); off >= 2*quarter*time.Second && off <= wrongZone && (late-zones).Abs() <= tolerance {
			return cutoff.Add(zones)
		}
	}
	if future := time.Unix(c.until, 0).Sub(now); future > tolerance && future <= wrongZone {
		return cutoff.Add((future + quarter*time.Second - 1).Truncate(quarter * time.Second))
	}
	return cutoff
}

// adopt has the login note that the journal has the baseline that was made with it.
func (r *Reconciler) adopt(ctx context.Context, login Login) {
	if !login.Fresh || r.cfg.Logins == nil {
		return
	}
	if err := r.cfg.Logins.Adopt(ctx, login.ID); err != nil && ctx.Err() == nil {
		r.log.Debug().Err(err).Msg("login is not noted as known to the journal yet")
	}
}

// restored is a baseline that the state has lost and the index knows, nil if that knows none.
func (in *Intake) restored(ctx context.Context, login Login) (*baseline, error) {
	s := in.index.Account(in.norm.Account)
	if s.BaselineID == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	b := &baseline{
		ID: s.BaselineID, Made: s.BaselineMade, Known: s.BaselineSize, Records: s.BaselineSize, Retention: in.journal.Retention(), Login: login.ID,
	}
	in.log.Warn().Time("made", b.Made).Msg("what was known of the history is missing from the journal's state: restored from the journal")
	return b, in.putBaseline(ctx, b)
}
