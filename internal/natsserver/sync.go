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

// The headers of a message by which what a stream holds is compared with the journal.
const (
	// NumberHeader is the number of the event in relay's journal.
	NumberHeader = "Relay-Number"
	// ReplaySeparator ends the event's id in the Nats-Msg-Id of a replay.
	ReplaySeparator = "/replay/"
)

// Held says what a stream durably holds: everything up to Sequence, which is of the event ID with the number Number in the journal.
type Held struct {
	Sequence uint64 `json:"sequence"` // the stream's own
	Number   uint64 `json:"number"`   // 0: not known
	ID       string `json:"id"`
}

// syncEvery is how much of the newest a stream may lose when the machine goes down.
const syncEvery = time.Second

// keepSynced syncs what changes, until ctx ends.
func (s *Server) keepSynced(ctx context.Context) {
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(syncEvery):
		}
		s.complaints.flush(time.Now())
		if err := s.consumers.follow(ctx); err != nil && ctx.Err() == nil && s.running() {
			s.cfg.Log.Debug().Err(err).Msg("consumers of overlays could not be listed")
		}
		switch err := s.Sync(ctx); {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said && s.running():
			said = err.Error()
			s.cfg.Log.Warn().Err(err).Msg("treats for overlays are not synced to disk; trying again")
		}
	}
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns != nil
}

// Sync makes what the streams hold durable, with their consumers, and notes up to where that is for [Server.Synced]. It
// happens by itself every second in which something changed, and when the server is closed.
//
// A power cut may take what came since, and only that. The stream then goes on with the sequence numbers it had given to what is lost,
// so whoever publishes must publish the same again, in the same order; nats-server sets a consumer that had acknowledged more back to
// the stream's end.
func (s *Server) Sync(ctx context.Context) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if err := s.store.look(); err != nil || len(s.store.dirty) == 0 {
		return err
	}
	held, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	// A second look, for a file that was begun since the first may hold the last message.
	if err := s.store.look(); err != nil {
		return err
	}
	if err := s.store.sync(); err != nil {
		return err
	}
	if maps.Equal(held, s.store.synced) {
		return nil
	}
	return s.store.note(held)
}

// Synced returns up to where a stream was durable at the last [Server.Sync], which may have been in a former process.
// It reports false if nothing is known of it.
func (s *Server) Synced(stream string) (Held, bool) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	h, ok := s.store.synced[stream]
	return h, ok
}

// inspect finds out what each stream holds. What is known of a stream that holds nothing, or is not there, stays.
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

// bound gives a stream a limit of its size, if it has none.
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

// LastHeld returns the last message that a stream holds. Its Number is 0 if it carries none, and its Sequence if the
// stream holds no message.
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
		return Held{Sequence: m.Sequence}, nil //nolint:nilerr // published by someone else
	}
	return Held{Sequence: m.Sequence, Number: number, ID: id}, nil
}
