// Package jetstream is the journal's engine for a NATS JetStream server or cluster of the operator's. It uses JetStream as a log:
// records are read by number, places are kept in a key-value bucket, and there are no consumers with a state of their own.
//
// # Stored form
//
// Stream RELAY_JOURNAL holds a message for each entry, on the subject relay.journal.<shard>.<account>. Its payload is the entry's binary form, the same
// as in the engine for files, and not headers: these are text, which costs both sides several times as much to read, and are bounded to 64 KiB.
// Headers carry only what the server itself acts upon (Nats-Msg-Id, Nats-Expected-Last-Sequence), and the offset of the record's number if it has one.
//
// # Numbers
//
// The number of a record is its sequence in the stream plus an offset. When the stream goes back in time, as one that is restored from a
// backup, or whose server lost what it had not synced, a new epoch begins: the offset grows, so that no number is given twice, and the
// numbers that are lost are in [Log.Gaps]. Two things notice that: each write names the sequence that it expects to follow, and
// the server refuses it if it would follow another; and after each reconnect the newest known record is compared with the one in the stream before anything is read or written.
package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Options configure [Open] and [Attach].
type Options struct {
	// Conn reaches the server. It stays the caller's, who closes it after the log and the state. It is to reconnect for ever and to buffer nothing
	// meanwhile, see [ConnOptions]. Its error handler is the log's until that is closed; the one before is still called.
	Conn *nats.Conn
	// Retention is how long the server keeps records, also while no relay runs; 0: for ever.
	Retention time.Duration
	// Replicas is how many nodes of a cluster keep log and state: 1, 3 or 5. 0 means 3 if that is possible and 1 otherwise. If fewer than wanted are possible,
	// that is logged, and there are fewer.
	Replicas int
	Log      zerolog.Logger
}

// ConnOptions are those that the connection of a log should have.
func ConnOptions() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectBufSize(-1),   // the journal itself tries again
		nats.IgnoreAuthErrorAbort(), // a server that refuses the login for a while, as at its restart, is no reason to give up
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // not on stderr; the log has it
	}
}

// Open opens the log and the state on a server, and makes them if they are not there. The error is an [ErrFormerJournal] if a stream of the name is
// not relay's.
func Open(ctx context.Context, o Options) (*Log, *State, error) {
	return open(ctx, o, false)
}

// Attach opens a log and a state that exist, for somebody beside the relay that owns them: it creates and sets nothing. What it appends is put between what the relay
// writes. The log drops and reserves nothing. The error is a [journal.ErrNoJournal] if there is none.
func Attach(ctx context.Context, o Options) (*Log, *State, error) {
	return open(ctx, o, true)
}

func open(ctx context.Context, o Options, attach bool) (_ *Log, _ *State, err error) {
	l := newLink(ctx, o.Conn, o.Log)
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err := checkServer(o.Conn); err != nil {
		return nil, nil, l.fail("open the journal", err)
	}
	var info *streamInfo
	generation := l.generation()
	if attach {
		info, err = l.info(ctx, StreamName, nil)
		if noStream(err) {
			return nil, nil, journal.ErrNoJournal
		}
	} else {
		info, err = l.ensure(ctx, journalConfig(o.Retention), o.Replicas)
	}
	if err == nil && attach && (len(info.Config.Subjects) != 1 || info.Config.Subjects[0] != subjects) {
		err = ErrFormerJournal
	}
	if err != nil {
		return nil, nil, l.fail("open the journal", err)
	}
	s := &State{link: l, replicas: o.Replicas, attached: attach, single: info.Config.Replicas == 1}
	if !attach {
		if _, err := l.ensure(ctx, stateConfig(), o.Replicas); err != nil {
			return nil, nil, l.fail("open the journal's state", err)
		}
	}
	log := &Log{link: l, state: s, retention: o.Retention, replicas: o.Replicas, attached: attach}
	log.at.changed = make(chan struct{})
	if err := log.start(ctx, info, generation); err != nil {
		return nil, nil, l.fail("open the journal", err)
	}
	return log, s, nil
}

// epochsKey is where the state keeps the log's [table]. It is no key that [State] lets others use.
const epochsKey = "journal/epochs"

// loadTable reads the table that is kept in the state, nil if there is none.
func (s *State) loadTable(ctx context.Context) (*table, error) {
	value, _, err := s.get(ctx, epochsKey)
	if errors.Is(err, journal.ErrNoKey) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("read the numbers' epochs: %w", err)
	}
	var t table
	if err := json.Unmarshal(value, &t); err != nil || !t.valid() {
		s.link.log.Error().AnErr("error", err).Str("bucket", Bucket).Str("key", epochsKey).Msg("the journal's epochs cannot be read; they are found out again from its records")
		return nil, nil //nolint:nilnil // as if there were none
	}
	s.mu.Lock()
	s.epochs = value
	s.mu.Unlock()
	return &t, nil
}

// keepTable writes the log's table again if the bucket holds another: an older one, or one whose write failed, or seemed to.
func (s *State) keepTable(ctx context.Context, t *table) error {
	want, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("keep the numbers' epochs: %w", err)
	}
	stored, _, err := s.get(ctx, epochsKey)
	switch {
	case err == nil && bytes.Equal(stored, want), errors.Is(err, journal.ErrNoKey) && t.plain():
		return nil
	case err == nil, errors.Is(err, journal.ErrNoKey):
		return s.saveTable(ctx, t)
	}
	return fmt.Errorf("keep the numbers' epochs: %w", err)
}

// saveTable keeps the table in the state.
func (s *State) saveTable(ctx context.Context, t *table) error {
	data, err := json.Marshal(t)
	if err == nil {
		_, err = s.put(ctx, epochsKey, data, journal.AnyRevision)
	}
	if err != nil { // if it is stored all the same, keepTable writes the former one again
		return fmt.Errorf("keep the numbers' epochs: %w", err)
	}
	s.mu.Lock()
	s.epochs = data
	s.mu.Unlock()
	return nil
}
