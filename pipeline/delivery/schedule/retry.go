package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	// MinAttempts is the least number of attempts before an event is given up.
	MinAttempts = 5
	// DeferAfter is the number of failed attempts after which later events may pass.
	DeferAfter = 5
	// blockedPause bounds the delay between attempts with an event that blocks others, for blockedTime; then delays grow.
	blockedPause = 12 * time.Second
	blockedTime  = 10 * time.Minute
	// LongWait is the longest delay that events behind a failing one wait for.
	LongWait = time.Minute
)

// Policy configures the retries of an event that the sink did not accept, although the destination answered. Delays
// grow, and vary by 20 %. Attempts and their times are stored on disk.
//
// Its fields are keys of relay.yaml; the first paragraph of a comment describes the key to users.
type Policy struct {
	// The wait after an event's first failure; it doubles each time, and varies by a fifth.
	Initial time.Duration `yaml:"initial" min:"1ms"`
	// The longest wait.
	Max time.Duration `yaml:"max" min:"1ms"`
	// How long after its first attempt a failing event becomes a dead letter.
	//
	// An event with fewer than five attempts does not.
	GiveUp time.Duration `yaml:"give_up" min:"1ms"`
}

// WithDefaults replaces zero values: 5 s, 10 h and 72 h, which makes 20 attempts.
func (p Policy) WithDefaults() Policy {
	if p.Initial == 0 {
		p.Initial = 5 * time.Second
	}
	if p.Max == 0 {
		p.Max = 10 * time.Hour
	}
	if p.GiveUp == 0 {
		p.GiveUp = 72 * time.Hour
	}
	p.Max = max(p.Max, p.Initial)
	return p
}

// A Retry is an event that a sink did not accept, and the time of its next attempt. It is stored in the journal's
// state. The lane's cursor knows that the event is open; if the retry is lost, its schedule starts over.
type Retry struct {
	Seq      uint64    `json:"-"`
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	First    time.Time `json:"first"` // first attempt
	Last     time.Time `json:"last"`  // latest attempt
	Next     time.Time `json:"next"`  // next attempt
	Floor    time.Time `json:"floor"` // the destination asked for no attempt before
	Attempts int       `json:"attempts"`
	// Deferred is true once the event is deferred: later events of its account may pass it.
	Deferred bool `json:"aside,omitempty"`
	// Alone is true once the sink has accepted others after it had refused this one.
	Alone bool `json:"alone,omitempty"`
}

// delay returns the delay after that many failed attempts.
func (p Policy) delay(attempts int) time.Duration {
	p = p.WithDefaults()
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.Initial), backoff.WithMaxInterval(p.Max), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))
	delay := b.NextBackOff()
	for range min(attempts, 100) - 1 {
		delay = b.NextBackOff()
	}
	return delay
}

// Failed records a failed attempt that began at that time, and schedules the next one.
func (r *Retry) Failed(began, now time.Time, p Policy, err error) {
	if r.First.IsZero() {
		r.First = began
	}
	r.Attempts++
	after, _ := pipeline.RetryDelay(err)
	r.Last, r.Next, r.Floor = now, now.Add(max(p.delay(r.Attempts), after)), now.Add(after)
}

// Refused is like [Retry.Failed], for an event that the sink refuses as such. The first retries come sooner: after 1,
// 2, 10 and 20 s by default.
func (r *Retry) Refused(began, now time.Time, p Policy, err error) {
	attempts := r.Attempts
	r.Failed(began, now, p, err)
	wait := p.delay(max(attempts, 1))
	if attempts < 2 {
		wait = wait * time.Duration(attempts+1) / 5
	}
	r.Next = clock.Later(now.Add(wait), r.Floor)
}

// Expedite brings the next attempt forward, since others wait for it. After 10 minutes, delays grow with the time since the
// first attempt.
func (r *Retry) Expedite(now time.Time) {
	pause := now.Sub(r.First)
	if pause < blockedTime {
		pause = blockedPause
	}
	if soon := clock.Later(now.Add(pause), r.Floor); r.Next.After(soon) {
		r.Next = soon
	}
}

// Over reports whether to give up the event.
func (r *Retry) Over(p Policy, now time.Time) bool {
	return r.Attempts >= MinAttempts && now.Sub(r.First) > p.WithDefaults().GiveUp
}

// byTime is a heap of retries, the next one first.
type byTime []*Retry

func (b byTime) Len() int { return len(b) }
func (b byTime) Less(i, j int) bool {
	return b[i].Next.Before(b[j].Next) || b[i].Next.Equal(b[j].Next) && b[i].Seq < b[j].Seq
}
func (b byTime) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b *byTime) Push(x any)   { *b = append(*b, x.(*Retry)) } //nolint:forcetypeassert // only these go in
func (b *byTime) Pop() any {
	last := (*b)[len(*b)-1]
	(*b)[len(*b)-1] = nil
	*b = (*b)[:len(*b)-1]
	return last
}

// Store stores the retries of one sink in the journal's state.
type Store struct {
	state journal.State
	sink  string
}

// NewStore makes the store of a sink.
func NewStore(state journal.State, sink string) Store { return Store{state, sink} }

// Put stores a retry durably.
func (s Store) Put(ctx context.Context, r Retry) error {
	r.First, r.Last, r.Next, r.Floor = clock.OnDisk(r.First), clock.OnDisk(r.Last), clock.OnDisk(r.Next), clock.OnDisk(r.Floor)
	value, err := pipeline.EncodeJSON(r)
	if err == nil {
		_, err = s.state.Put(ctx, journal.RetryKey(s.sink, r.Seq), value, journal.AnyRevision)
	}
	if err != nil {
		return fmt.Errorf("store the retry of event %s: %w", r.ID, err)
	}
	return nil
}

// drop deletes the retry of a settled event.
func (s Store) drop(ctx context.Context, number uint64) error {
	if err := s.state.Delete(ctx, journal.RetryKey(s.sink, number)); err != nil {
		return fmt.Errorf("delete a retry of sink %s: %w", s.sink, err)
	}
	return nil
}

// All returns the readable retries, by number, and the number of unreadable ones.
func (s Store) All(ctx context.Context) (all map[uint64]*Retry, damaged int, err error) {
	all = make(map[uint64]*Retry)
	prefix := journal.RetryPrefix(s.sink)
	err = s.state.List(ctx, prefix, func(key string, value []byte) error {
		number, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 10, 64)
		r := Retry{Seq: number}
		if err == nil {
			err = json.Unmarshal(value, &r)
		}
		if err != nil || r.ID == "" {
			damaged++
			return nil //nolint:nilerr // counted
		}
		all[number] = &r
		return nil
	})
	if errors.Is(err, journal.ErrDamagedValue) {
		return all, damaged + 1, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the retries of sink %s: %w", s.sink, err)
	}
	return all, damaged, nil
}

// wake converts a retry that was read from disk. It reports whether the clock was ahead when it was written.
func (r *Retry) wake(now time.Time) (ahead bool) {
	r.Next, r.Floor = clock.FromDisk(r.Next, r.Last, now), clock.FromDisk(r.Floor, r.Last, now)
	if ahead = r.Last.After(now); ahead {
		r.Last = now
	}
	if r.First.After(now) {
		r.First = now
	}
	return ahead
}
