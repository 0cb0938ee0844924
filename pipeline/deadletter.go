package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadLetter is an event a sink refused for good, as the journal keeps it.
type DeadLetter struct {
	// Number is its own in the journal, by which it can be named. It is no part of what is stored.
	Number   uint64          `json:"number,omitempty"`
	Sink     string          `json:"sink"`
	Reason   string          `json:"reason"`
	Attempts int             `json:"attempts"`
	Time     time.Time       `json:"time"` // when the sink refused it
	ID       string          `json:"id"`   // of the event
	Seq      uint64          `json:"seq"`  // of the event in the journal
	Account  string          `json:"account,omitempty"`
	Provider string          `json:"provider,omitempty"`
	Origin   Origin          `json:"origin,omitempty"`
	Type     string          `json:"type,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"` // absent if it would not fit in a message beside the rest
}

// deadLetter keeps an event that a sink refused. It returns when it is on disk.
func (j *Journal) deadLetter(ctx context.Context, sink, reason string, attempts int, r Record) error {
	letter := DeadLetter{
		Sink: sink, Reason: reason, Attempts: attempts, Time: time.Now().UTC(), ID: r.ID, Seq: r.Seq,
		Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: r.Type, Event: json.RawMessage(r.Line),
	}
	data, err := EncodeJSON(letter)
	if err == nil && !j.fits(data) {
		letter.Event = nil
		data, err = EncodeJSON(letter)
	}
	if err != nil {
		return fmt.Errorf("encode a dead letter: %w", err)
	}
	msg := nats.NewMsg(deadSubject + sink)
	msg.Data = data
	// Not by the event's id: an event that is sent again and refused again makes a dead letter again.
	msg.Header.Set(jetstream.MsgIDHeader, "dead_"+sink+"_"+strconv.FormatUint(r.Seq, 10))
	_, err = j.publish(ctx, msg)
	return err
}

// DeadLetterFilter chooses dead letters. What is empty or zero does not matter.
type DeadLetterFilter struct {
	Sinks    []string
	Accounts []string
	IDs      []string // of events,
	Numbers  []uint64 // or of the dead letters
	Since    time.Time
	Until    time.Time // exclusive
	Reason   string    // a part of the reason, in whatever case
}

func (f *DeadLetterFilter) matches(d *DeadLetter) bool {
	among := func(list []string, one string) bool { return len(list) == 0 || slices.Contains(list, one) }
	return among(f.Sinks, d.Sink) && among(f.Accounts, d.Account) &&
		(len(f.IDs)+len(f.Numbers) == 0 || slices.Contains(f.IDs, d.ID) || slices.Contains(f.Numbers, d.Number)) &&
		!d.Time.Before(f.Since) && (f.Until.IsZero() || d.Time.Before(f.Until)) &&
		strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Reason))
}

// DeadLetters yields the dead letters that match, oldest first, up to the newest at the time of the call. An error is the last
// thing it yields. It holds few of them at a time.
func (j *Journal) DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[DeadLetter, error] {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{deadSubject + "*"}}
	if len(f.Sinks) > 0 {
		cfg.FilterSubjects = nil
		for _, s := range slices.Compact(slices.Sorted(slices.Values(f.Sinks))) {
			cfg.FilterSubjects = append(cfg.FilterSubjects, deadSubject+s)
		}
	}
	if !f.Since.IsZero() { // it came into the journal after its own time
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	byNumber := len(f.Numbers) > 0 && len(f.IDs) == 0
	if byNumber {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartSequencePolicy, nil
		cfg.OptStartSeq = max(slices.Min(f.Numbers), 1)
	}
	return func(yield func(DeadLetter, error) bool) {
		for msg, err := range j.scan(ctx, JournalStream, cfg) {
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("read the dead letters: %w", err))
				return
			}
			letter, err := readDeadLetter(msg)
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			if f.matches(&letter) && !yield(letter, nil) {
				return
			}
			if byNumber && letter.Number >= slices.Max(f.Numbers) {
				return
			}
		}
	}
}

func readDeadLetter(msg message) (letter DeadLetter, err error) {
	if err := json.Unmarshal(msg.Data, &letter); err != nil {
		return letter, fmt.Errorf("read dead letter %d: %w", msg.Seq, err)
	}
	letter.Number = msg.Seq
	if letter.Account == "" && len(letter.Event) > 0 { // one of an earlier relay has only the event
		var e Event
		if err := json.Unmarshal(letter.Event, &e); err == nil {
			letter.Account, letter.Provider, letter.Origin, letter.Type = e.Data.Account, e.Data.Provider, e.Origin, e.Type
		}
	}
	return letter, nil
}

// ErrEventGone says that neither a dead letter nor the journal holds the event any more.
var ErrEventGone = errors.New("the journal does not hold the event any more")

// DeadEvent returns the event of a dead letter: its own, or, if it was too large for that, the journal's. The error is an
// [ErrEventGone] if that is gone too.
func (j *Journal) DeadEvent(ctx context.Context, d DeadLetter) (Record, error) {
	if len(d.Event) > 0 {
		return Record{
			Seq: d.Seq, ID: d.ID, Account: d.Account, Provider: d.Provider, Origin: d.Origin, Type: d.Type, Line: d.Event,
		}, nil
	}
	r, _, err := j.eventAt(ctx, d.Seq)
	r.ID = d.ID // that of a digest is not in the journal
	return r, err
}

// redriveID begins the id of a message that redrives a dead letter, whose number follows.
const redriveID = "resend_dead_"

// Redrive gives the event of a dead letter to its sink again, under the id it has, and deletes the dead letter. If it is cut
// off between the two and called again within [DedupWindow], the event is given once.
func (j *Journal) Redrive(ctx context.Context, d DeadLetter) error {
	r, err := j.DeadEvent(ctx, d)
	if err == nil {
		err = j.Resend(ctx, d.Sink, r, redriveID+strconv.FormatUint(d.Number, 10))
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w; if the journal is that of an earlier relay, start relay once to bring it up to date", err)
	}
	if err != nil {
		return fmt.Errorf("redrive dead letter %d: %w", d.Number, err)
	}
	return j.DeleteDeadLetter(ctx, d)
}

// DeleteDeadLetter deletes a dead letter. It is no error if it is gone already.
func (j *Journal) DeleteDeadLetter(ctx context.Context, d DeadLetter) error {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err == nil {
		err = stream.DeleteMsg(ctx, d.Number)
	}
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // which does not say why
		if _, goneErr := stream.GetMsg(ctx, d.Number); errors.Is(goneErr, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("delete dead letter %d: %w", d.Number, err)
	}
	return nil
}
