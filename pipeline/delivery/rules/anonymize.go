package rules

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Anonymizer removes the sender from a record, or replaces it with a hash, depending on the sink's rule.
type Anonymizer struct {
	rule SenderRule
	key  []byte // for the hashes
}

// NewAnonymizer makes the anonymizer of a rule. The key for hashes is in the journal's state.
func NewAnonymizer(ctx context.Context, state journal.State, rule SenderRule) (a Anonymizer, err error) {
	a.rule = rule
	if rule == HashSender {
		a.key, err = hashKey(ctx, state)
	}
	return a, err
}

// hashKey returns the journal's key for hashes. It creates the key on first use.
func hashKey(ctx context.Context, state journal.State) ([]byte, error) {
	for {
		key, _, err := state.Get(ctx, journal.HashKey)
		if errors.Is(err, journal.ErrNoKey) {
			key = make([]byte, sha256.Size)
			_, _ = rand.Read(key) // it never fails
			_, err = state.Put(ctx, journal.HashKey, key, 0)
		}
		if errors.Is(err, journal.ErrRevision) { // another process has created it
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the key for hide_sender: %w", err)
		}
		return key, nil
	}
}

// Record returns the record without its sender's name, or with a hash in its place; from a digest it removes all names.
// It also removes the provider's raw object, which may hold the name.
func (a Anonymizer) Record(r pipeline.Record) (pipeline.Record, error) {
	if a.rule == ShowSender || r.Type != pipeline.EventType && r.Type != pipeline.DigestType {
		return r, nil
	}
	if r.Type == pipeline.DigestType {
		return a.digest(r)
	}
	e, err := r.Event()
	if err != nil {
		return r, err
	}
	e.Data.Raw = nil
	switch {
	case a.rule == HideSender:
		e.Data.Sender, e.Data.SenderType, e.Data.Anonymous = nil, nil, true
	case e.Data.Sender != nil:
		name := a.hash(*e.Data.Sender)
		e.Data.Sender = &name
	}
	r.Line, err = e.Line()
	return r, err
}

func (a Anonymizer) digest(r pipeline.Record) (pipeline.Record, error) {
	d, err := r.Digest()
	if err != nil {
		return r, err
	}
	if a.rule == HideSender {
		d.Data.Senders, d.Data.Anonymous, d.Data.From = 0, d.Data.Count, []string{}
	}
	for i, name := range d.Data.From {
		d.Data.From[i] = a.hash(name)
	}
	r.Line, err = d.Line()
	return r, err
}

func (a Anonymizer) hash(name string) string {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(name))
	return "viewer-" + hex.EncodeToString(mac.Sum(nil)[:8])
}
