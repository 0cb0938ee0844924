// Package jetstream is the journal's engine for the operator's NATS JetStream server or cluster. It uses JetStream as a
// log: it reads records by number, stores the state in a key-value bucket, and has no consumers with server-side state.
// It works on any server from 2.11 on. Several processes can use a journal, see [Attach].
//
// Start reading at [Open] and [Log]: append.go writes, read.go reads, verify.go notices a stream that went back in time,
// and state.go has the bucket.
//
// # Stored form
//
// Stream RELAY_JOURNAL has a message per entry, on the subject relay.journal.<shard>.<account>. The payload is the
// entry's binary encoding, the same as in the engine for files. Headers are not used for that: they are text, which is
// several times slower to parse, and limited to 64 KiB. They carry only what the server needs (Nats-Msg-Id,
// Nats-Expected-Last-Sequence), and the offset of the record's number if there is one.
//
// # Numbers
//
// The number of a record is its sequence in the stream plus an offset. If the stream goes back in time, because it was
// restored from a backup or its server lost unsynced data, a new epoch begins: the offset grows, so that no number is
// assigned twice, and the lost numbers are in [Log.Gaps]. Two checks detect this. Each write names the sequence that it
// must follow, and the server rejects it otherwise. After each reconnect, the newest known record is compared with the
// stream before anything is read or written.
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
	// Conn is the connection to the server. The caller owns it, and closes it after log and state. It should reconnect
	// forever without buffering, see [ConnOptions]. The log uses its error handler until it is closed; the previous one
	// is still called.
	Conn *nats.Conn
	// Retention is how long the server keeps records, even while no relay runs; 0: forever.
	Retention time.Duration
	// Replicas is the number of cluster nodes that keep log and state: 1, 3 or 5. 0 means 3 if possible, otherwise 1.
	// If fewer than requested are possible, that is logged and there are fewer.
	Replicas int
	Log      zerolog.Logger
}

// ConnOptions returns the recommended options for the log's connection.
func ConnOptions() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectBufSize(-1),   // the journal retries by itself
		nats.IgnoreAuthErrorAbort(), // a server that rejects the login for a while, as during a restart, is no reason to give up
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // not to stderr; the log handles it
	}
}

// Open opens the log and the state on a server, and creates them if needed. If a stream of the same name is not
// relay's, the error is [ErrFormerJournal]. The caller closes both, then the connection.
func Open(ctx context.Context, o Options) (*Log, *State, error) {
	return open(ctx, o, false)
}

// Attach opens an existing log and state beside the relay that owns them. It creates and configures nothing. What it
// appends goes between the relay's own writes. The log cannot drop or reserve. If there is no journal, the error is
// [journal.ErrNoJournal].
func Attach(ctx context.Context, o Options) (*Log, *State, error) {
	return open(ctx, o, true)
}

func open(ctx context.Context, o Options, attach bool) (_ *Log, _ *State, err error) {
	l := newClient(ctx, o.Conn, o.Log)
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
	s := &State{client: l, replicas: o.Replicas, attached: attach, single: info.Config.Replicas == 1}
	if !attach {
		if _, err := l.ensure(ctx, stateConfig(), o.Replicas); err != nil {
			return nil, nil, l.fail("open the journal's state", err)
		}
	}
	log := &Log{client: l, state: s, retention: o.Retention, replicas: o.Replicas, attached: attach}
	log.at.changed = make(chan struct{})
	if err := log.start(ctx, info, generation); err != nil {
		return nil, nil, l.fail("open the journal", err)
	}
	return log, s, nil
}

// epochsKey is the key of the log's [table] in the state. [State] does not let others use it.
const epochsKey = "journal/epochs"

// loadTable reads the table from the state. It is nil if there is none.
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
		s.client.log.Error().AnErr("error", err).Str("bucket", Bucket).Str("key", epochsKey).Msg("the journal's epochs cannot be read; they are determined again from its records")
		return nil, nil //nolint:nilnil // treated as missing
	}
	s.mu.Lock()
	s.epochs = value
	s.mu.Unlock()
	return &t, nil
}

// keepTable writes the log's table again if the bucket holds another one: an older one, or one whose write seemed to
// fail.
func (s *State) keepTable(ctx context.Context, t *table) error {
	want, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("store the numbers' epochs: %w", err)
	}
	stored, _, err := s.get(ctx, epochsKey)
	switch {
	case err == nil && bytes.Equal(stored, want), errors.Is(err, journal.ErrNoKey) && t.plain():
		return nil
	case err == nil, errors.Is(err, journal.ErrNoKey):
		return s.saveTable(ctx, t)
	}
	return fmt.Errorf("store the numbers' epochs: %w", err)
}

// saveTable writes the table to the state.
func (s *State) saveTable(ctx context.Context, t *table) error {
	data, err := json.Marshal(t)
	if err == nil {
		_, err = s.put(ctx, epochsKey, data, journal.AnyRevision)
	}
	if err != nil { // if it was stored after all, keepTable writes the previous one again
		return fmt.Errorf("store the numbers' epochs: %w", err)
	}
	s.mu.Lock()
	s.epochs = data
	s.mu.Unlock()
	return nil
}
