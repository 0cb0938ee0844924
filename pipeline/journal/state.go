package journal

import (
	"context"
	"errors"
	"strconv"
)

// State is a small durable map beside the log: cursors, what is known of the sinks, retries, baselines. An engine implements it. Its methods
// are safe for use by several goroutines. Keys are made of the characters A-Z, a-z, 0-9, '_', '-' and '.', which separates their parts.
type State interface {
	// Get returns a value and its revision, which is greater than any before it. The error is an [ErrNoKey] if there is none, and an [ErrDamagedValue] if its
	// checksum does not match.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put stores a value durably and returns its revision. If expected is not [AnyRevision], it does so only if the key has that
	// revision, 0 meaning that there is none, and returns an [ErrRevision] otherwise.
	Put(ctx context.Context, key string, value []byte, expected uint64) (revision uint64, err error)
	// Delete removes a key. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List calls visit for each key that begins with prefix, in the order of the keys' bytes, until it returns an error, which List returns.
	List(ctx context.Context, prefix string, visit func(key string, value []byte) error) error
	// Watch calls changed with each change of a key, also one by another process where several may use the state, and first with the value it
	// has, if any. Changes that follow each other closely may be reported as one; that a key was deleted, as nil and 0. It returns nil when ctx ends, and an error if it cannot go on.
	Watch(ctx context.Context, key string, changed func(value []byte, revision uint64)) error
	// Close ends the state. Nothing else may be called during and after it.
	Close() error
}

// AnyRevision lets [State.Put] overwrite whatever is there.
const AnyRevision = ^uint64(0)

var (
	// ErrNoKey says that the state has no such key.
	ErrNoKey = errors.New("no such key")
	// ErrRevision says that somebody else has changed the key.
	ErrRevision = errors.New("the key has another revision")
	// ErrDamagedValue says that a stored value is not what was written.
	ErrDamagedValue = errors.New("the value is damaged")
)

// The keys of the state.
const (
	sinkPrefix    = "sink."
	retryPrefix   = "retry."
	digestPrefix  = "digest."
	historyPrefix = "history."
	cursorPrefix  = "cursor."
	deadPrefix    = "dead."
	// HashKey holds the key of the hashes that hide_sender makes.
	HashKey = "hash_key"
	// derivedKey holds how far the keys that are derived from the log are up to date.
	derivedKey = "derived"
)

// SinkKey is the key of a sink's [SinkState].
func SinkKey(sink string) string { return sinkPrefix + sink }

// CursorKey is the key of a sink's [Cursor].
func CursorKey(sink string) string { return cursorPrefix + sink }

// DigestKey is the key of the parts of the journal that a sink gets as digests.
func DigestKey(sink string) string { return digestPrefix + sink }

// HistoryKey is the key of an account's baseline.
func HistoryKey(account string) string { return historyPrefix + account }

// RetryPrefix begins the keys of a sink's retries.
func RetryPrefix(sink string) string { return retryPrefix + sink + "." }

// RetryKey is the key of the retry of one entry by a sink.
func RetryKey(sink string, number uint64) string {
	return RetryPrefix(sink) + strconv.FormatUint(number, 10)
}
