package journal

import (
	"context"
	"errors"
	"strconv"
)

// State is a small durable map beside the log, for cursors, states of sinks, retries and baselines. An engine
// implements it. Its methods are safe for concurrent use. Keys consist of A-Z, a-z, 0-9, '_', '-' and '.', which
// separates their parts.
type State interface {
	// Get returns a value and its revision. Revisions rise. If there is no such key, the error is [ErrNoKey]; if the
	// value's checksum does not match, [ErrDamagedValue].
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put stores a value durably and returns its revision. Unless expected is [AnyRevision], the key must have that
	// revision, where 0 means that it does not exist; otherwise the error is [ErrRevision].
	Put(ctx context.Context, key string, value []byte, expected uint64) (revision uint64, err error)
	// Delete removes a key. It returns nil if there is none.
	Delete(ctx context.Context, key string) error
	// List calls visit for each key with the prefix, in byte order. It stops at an error of visit and returns that.
	List(ctx context.Context, prefix string, visit func(key string, value []byte) error) error
	// Watch calls changed with the current value of a key, if any, and after each change, also by another process.
	// Changes in quick succession may be reported as one. A deletion is reported as nil and 0. It returns nil when ctx
	// ends, and an error if it cannot continue.
	Watch(ctx context.Context, key string, changed func(value []byte, revision uint64)) error
	// Close closes the state. No other method may be called during or after it.
	Close() error
}

// AnyRevision makes [State.Put] overwrite any revision.
const AnyRevision = ^uint64(0)

var (
	// ErrNoKey means that the state has no such key.
	ErrNoKey = errors.New("no such key")
	// ErrRevision means that another process has changed the key.
	ErrRevision = errors.New("the key has another revision")
	// ErrDamagedValue means that a stored value is damaged.
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
	// HashKey holds the key for hashed senders.
	HashKey = "hash_key"
	// derivedKey holds how far the derived keys cover the log.
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

// RetryPrefix is the prefix of the keys of a sink's retries.
func RetryPrefix(sink string) string { return retryPrefix + sink + "." }

// RetryKey is the key of the retry of one entry by a sink.
func RetryKey(sink string, number uint64) string {
	return RetryPrefix(sink) + strconv.FormatUint(number, 10)
}
