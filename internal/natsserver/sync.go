package natsserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a message by which the content of a stream is compared with the journal.
const (
	// NumberHeader is the number of the event in relay's journal.
	NumberHeader = "Relay-Number"
	// ReplaySeparator follows the event's id in the Nats-Msg-Id of a replay.
	ReplaySeparator = "/replay/"
)

// Held describes what a stream durably holds: everything up to Sequence. That message is the event ID, with the number
// Number in the journal.
type Held struct {
	Sequence uint64 `json:"sequence"` // in the stream
	Number   uint64 `json:"number"`   // 0: unknown
	ID       string `json:"id"`
}

const (
	// syncEvery bounds how much of a stream a crash of the machine can lose.
	syncEvery = time.Second
	// inspectEvery bounds how often the ends of the streams are read while messages arrive. nats-server keeps the block that a read touches, of
	// 8 MiB, in memory for 10 s. With a read every second, these blocks were most of the memory during a flood of large treats.
	inspectEvery = 15 * time.Second
)

// keepSynced syncs changes until ctx ends.
func (s *Server) keepSynced(ctx context.Context) {
	logged := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(syncEvery):
		}
		s.errorLog.flush(time.Now())
		if err := s.consumers.follow(ctx); err != nil && ctx.Err() == nil && s.running() {
			s.cfg.Log.Debug().Err(err).Msg("consumers of overlays could not be listed")
		}
		switch err := s.syncSome(ctx, false); {
		case err == nil:
			logged = ""
		case ctx.Err() == nil && err.Error() != logged && s.running():
			logged = err.Error()
			s.cfg.Log.Warn().Err(err).Msg("treats for overlays are not synced to disk; trying again")
		}
	}
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns != nil
}

// Sync makes the streams and their consumers durable, and records up to where for [Server.Synced]. When the server is
// closed, that happens by itself. While it runs, changes become durable every second; the record follows 15 seconds
// later at most.
//
// A power failure loses only what came later. The stream then gives the lost sequence numbers again, so the publisher
// must publish the same messages in the same order. nats-server sets a consumer that had acknowledged more back to the
// stream's end.
func (s *Server) Sync(ctx context.Context) error { return s.syncSome(ctx, true) }

// syncSome is Sync. Without record, it does not record up to where if that was done a moment ago and messages arrive.
func (s *Server) syncSome(ctx context.Context, record bool) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if err := s.store.scan(); err != nil {
		return err
	}
	changed := len(s.store.dirty) > 0
	switch {
	case !changed && !s.store.behind:
		return nil
	case changed && !record && time.Since(s.store.inspected) < inspectEvery:
		s.store.behind = true
		return s.store.sync()
	}
	held, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	s.store.inspected = time.Now()
	// Scan again, since a file created after the first scan may hold the last message.
	if err := s.store.scan(); err != nil {
		return err
	}
	if err := s.store.sync(); err != nil {
		return err
	}
	if !maps.Equal(held, s.store.synced) {
		if err := s.store.note(held); err != nil {
			return err
		}
	}
	s.store.behind = false
	return nil
}

// Synced returns up to where a stream was durable at the last [Server.Sync], also of an earlier process. It reports
// false if that is unknown.
func (s *Server) Synced(stream string) (Held, bool) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	h, ok := s.store.synced[stream]
	return h, ok
}

// inspect finds out what each stream holds. It keeps the record of a stream that is empty or missing.
func (s *Server) inspect(ctx context.Context) (map[string]Held, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errNoAnswer)
	defer cancel()
	js, err := jetstream.New(s.own)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(s.store.synced)
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if err := bound(ctx, js, name); err != nil {
			return nil, fmt.Errorf("bound stream %s: %w", name, err)
		}
		held, err := LastHeld(ctx, js, name)
		if err != nil {
			return nil, fmt.Errorf("read the end of stream %s: %w", name, err)
		}
		if held.Sequence > 0 {
			all[name] = held
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	return all, nil
}

// bound sets a size limit on a stream that has none.
func bound(ctx context.Context, js jetstream.JetStream, name string) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	if config.MaxBytes > 0 {
		return nil
	}
	config.MaxBytes = maxStreamBytes
	_, err = js.UpdateStream(ctx, config)
	return err
}

var errNoAnswer = errors.New("the embedded NATS server does not answer")

// LastHeld returns the last message of a stream. Number is 0 if the message carries none, and Sequence is 0 if the
// stream is empty.
func LastHeld(ctx context.Context, js jetstream.JetStream, stream string) (Held, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return Held{}, err
	}
	m, err := s.GetLastMsgForSubject(ctx, ">")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Held{}, nil
	}
	if err != nil {
		return Held{}, err
	}
	id, _, _ := strings.Cut(m.Header.Get(jetstream.MsgIDHeader), ReplaySeparator)
	number, err := strconv.ParseUint(m.Header.Get(NumberHeader), 10, 64)
	if err != nil {
		return Held{Sequence: m.Sequence}, nil //nolint:nilerr // someone else published it
	}
	return Held{Sequence: m.Sequence, Number: number, ID: id}, nil
}
