package pipeline

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// SenderRule is what a sink is told of who sent a treat.
type SenderRule string

// The rules. With a hash the same sender, of whatever account, has the same name at every sink of this journal, and nobody who
// does not hold the journal's key can find out whose it is.
const (
	ShowSender SenderRule = ""     // the name
	HideSender SenderRule = "true" // nothing: as of an anonymous treat
	HashSender SenderRule = "hash" // a name in its place
)

const hashKey = "hash_key" // in the state bucket

// senderKey returns the journal's key for hashes, made at its first use.
func (j *Journal) senderKey(ctx context.Context) ([]byte, error) {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	_, err := j.state.Create(ctx, hashKey, key)
	if err == nil {
		return key, nil
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		var entry jetstream.KeyValueEntry
		if entry, err = j.state.Get(ctx, hashKey); err == nil {
			return entry.Value(), nil
		}
	}
	return nil, fmt.Errorf("open the key for hide_sender: %w", err)
}

// hide returns the record without its sender's name, or with a hash in its place; of a digest, without all names. What the
// provider sent beside the known fields goes too, for it may hold the name.
func hide(r Record, rule SenderRule, key []byte) (Record, error) {
	if rule == ShowSender || r.Type != EventType && r.Type != DigestType {
		return r, nil
	}
	if r.Type == DigestType {
		return hideInDigest(r, rule, key)
	}
	e, err := r.Event()
	if err != nil {
		return r, err
	}
	e.Data.Raw = nil
	switch {
	case rule == HideSender:
		e.Data.Sender, e.Data.SenderType, e.Data.Anonymous = nil, nil, true
	case e.Data.Sender != nil:
		name := hashSender(*e.Data.Sender, key)
		e.Data.Sender = &name
	}
	r.Line, err = e.Line()
	return r, err
}

func hideInDigest(r Record, rule SenderRule, key []byte) (Record, error) {
	d, err := r.Digest()
	if err != nil {
		return r, err
	}
	if rule == HideSender {
		d.Data.Senders, d.Data.Anonymous, d.Data.From = 0, d.Data.Count, []string{}
	}
	for i, name := range d.Data.From {
		d.Data.From[i] = hashSender(name, key)
	}
	r.Line, err = d.Line()
	return r, err
}

func hashSender(name string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(name))
	return "viewer-" + hex.EncodeToString(mac.Sum(nil)[:8])
}
