package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// madeByRelay is a metadata key of streams that relay created and may change.
const madeByRelay = "treatrelay.stream"

// codeSubjectOverlap is an error code without a name in nats.go (nats-server, server/errors.json).
const codeSubjectOverlap = 10065

// duplicateWindow is how long the server remembers the ID of an event, at some 130 bytes of memory each. It covers a
// relay that is killed during a delivery and started again the next morning.
const duplicateWindow = 24 * time.Hour

func streamConfig(name, subject string, retention time.Duration) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        name,
		Description: "Treats, one CloudEvent each, published by relay.",
		Subjects:    []string{streamSubject(subject)},
		Storage:     jetstream.FileStorage,
		MaxAge:      retention,
		Duplicates:  min(duplicateWindow, retention),
		Metadata:    map[string]string{madeByRelay: "1"},
	}
}

// ensureStream creates the stream, updates one that relay created, or checks one that relay did not create.
func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another relay was faster
			s, err = js.Stream(ctx, want.Name)
		}
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeSubjectOverlap {
		return nil, fmt.Errorf("create it: another stream takes %s already: set stream to its name, or choose another "+
			"subject: %w", want.Subjects[0], err)
	}
	if err != nil {
		return nil, err
	}
	have := s.CachedInfo().Config
	if have.Metadata[madeByRelay] == "" {
		return s.CachedInfo(), checkForeign(have, want)
	}
	next, changed := follow(have, want)
	if !changed {
		return s.CachedInfo(), nil
	}
	if s, err = js.UpdateStream(ctx, next); err != nil {
		return nil, fmt.Errorf("update it: %w", err)
	}
	return s.CachedInfo(), nil
}

// checkForeign returns why relay cannot use a stream that it did not create, or nil.
func checkForeign(have, want jetstream.StreamConfig) error {
	subject := want.Subjects[0]
	switch {
	case !slices.ContainsFunc(have.Subjects, func(s string) bool { return covers(s, subject) }):
		return fmt.Errorf("relay did not create it, and it does not accept %s: add this to its subjects, or set stream to "+
			"another name", subject)
	case have.NoAck:
		return errors.New("relay did not create it, and it acknowledges nothing: turn its no_ack off, or set stream to " +
			"another name")
	}
	return nil
}

// follow returns the current configuration of the stream, updated where relay's configuration decides, and whether that
// changes anything.
func follow(have, want jetstream.StreamConfig) (jetstream.StreamConfig, bool) {
	next := have
	next.MaxAge, next.Duplicates = want.MaxAge, want.Duplicates
	subject := want.Subjects[0]
	covered := slices.ContainsFunc(have.Subjects, func(s string) bool { return covers(s, subject) })
	if !covered {
		next.Subjects = slices.DeleteFunc(slices.Clone(have.Subjects), func(s string) bool { return covers(subject, s) })
		next.Subjects = append(next.Subjects, subject)
	}
	changed := !covered || next.MaxAge != have.MaxAge || next.Duplicates != have.Duplicates
	return next, changed
}
