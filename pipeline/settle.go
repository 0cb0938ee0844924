package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// healType is the type of a mark as a lane takes it from the journal. No sink sees it.
const healType = "treatrelay.heal.v1"

// A healMark says which events of one account a healing has journaled: those of the origin backfill in its span. It lies in the
// journal after them, and the marks of an account have no event in common. That the journal has it is all that makes it count.
type healMark struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	span
}

// A span is a part of the journal: the numbers after After up to Through.
type span struct {
	After   uint64 `json:"after"`
	Through uint64 `json:"through,omitempty"` // 0: it has no end yet
}

func (s span) holds(seq uint64) bool { return seq > s.After && (s.Through == 0 || seq <= s.Through) }

// settleLimit bounds one settling, the disk being slow.
const settleLimit = 5 * time.Minute

var errSettleLimit = errors.New("it takes more than 5 minutes")

// settle marks what was healed and is in no mark yet. When this process is cut off before, the next one does it.
func (r *Reconciler) settle(ctx context.Context) error {
	if !r.unsettled || ctx.Err() != nil {
		return nil
	}
	bounded, cancel := context.WithTimeoutCause(ctx, settleLimit, errSettleLimit)
	defer cancel()
	norm := &r.intake.norm
	err := r.intake.backlog.wait(bounded) // what is still to come onto disk belongs to it
	if err == nil {
		err = r.intake.journal.settle(bounded, norm.Account, norm.Provider)
	}
	if err == nil {
		r.unsettled = false
		if r.unmarked != "" {
			r.unmarked = ""
			r.log.Info().Msg("healed treats are summed up again")
		}
		return nil
	}
	if ctx.Err() != nil {
		return err // stopped
	}
	level := zerolog.DebugLevel
	if text := err.Error(); text != r.unmarked {
		level, r.unmarked = zerolog.WarnLevel, text
	}
	r.log.WithLevel(level).Err(err).Msg("healed treats are not summed up yet: sinks with backfill: digest are told of them after the next comparison")
	return fmt.Errorf("sum up what was healed of %s: %w", norm.Account, err)
}

// settle publishes a mark for the account's events of the origin backfill that are in none yet, if there are any. An error leaves it
// open whether it did; the next call finds out.
func (j *Journal) settle(ctx context.Context, account, provider string) error {
	for {
		seq, last, err := j.newestMark(ctx, account)
		if err != nil {
			return err
		}
		m := healMark{Account: account, Provider: provider}
		if m.span, err = j.unmarked(ctx, account, last.Through); err != nil || m.Through == 0 {
			return err
		}
		refused, err := j.putMark(ctx, m, seq)
		if err != nil || !refused {
			return err
		}
		select { // another relay has made one meanwhile
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// newestMark returns the newest mark of an account and its number, which is 0 if there is none.
func (j *Journal) newestMark(ctx context.Context, account string) (seq uint64, m healMark, err error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return 0, m, fmt.Errorf("look into the journal: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, healSubject+account)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, m, nil
	}
	if err == nil {
		err = json.Unmarshal(msg.Data, &m)
	}
	if err != nil {
		return 0, m, fmt.Errorf("read the newest mark of %s in the journal: %w", account, err)
	}
	return msg.Sequence, m, nil
}

// unmarked returns the span from the first to the newest event of the origin backfill after a number. Its Through is 0 if there is none.
func (j *Journal) unmarked(ctx context.Context, account string, after uint64) (s span, err error) {
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{journalSubject + account}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
	}
	for msg, err := range j.scan(ctx, JournalStream, cfg) {
		if err != nil {
			return span{}, fmt.Errorf("look for healed events of %s in the journal: %w", account, err)
		}
		if Origin(msg.Header.Get(headerOrigin)) != OriginBackfill {
			continue
		}
		if s.Through == 0 {
			s.After = msg.Seq - 1
		}
		s.Through = msg.Seq
	}
	return s, nil
}

// putMark journals a mark if the newest one of its account has that number, and reports whether the server refused because it has not.
func (j *Journal) putMark(ctx context.Context, m healMark, newest uint64) (refused bool, err error) {
	data, err := EncodeJSON(m)
	if err != nil {
		return false, fmt.Errorf("encode a mark: %w", err)
	}
	msg := nats.NewMsg(healSubject + m.Account)
	msg.Data = data
	msg.Header.Set(headerType, healType)
	msg.Header.Set(headerProvider, m.Provider)
	msg.Header.Set(headerOrigin, string(OriginBackfill))
	_, err = j.publish(ctx, msg, jetstream.WithExpectLastSequencePerSubject(newest))
	if answer, ok := errors.AsType[*jetstream.APIError](err); ok && wrongLast(answer.ErrorCode) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("journal a mark of %s: %w", m.Account, err)
	}
	return false, nil
}

// wrongLast reports whether the server says that the number of the newest message is another one. It has two words for that.
func wrongLast(code jetstream.ErrorCode) bool {
	const constant = 10164 // JSStreamWrongLastSequenceConstantErr of nats-server
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == constant
}
