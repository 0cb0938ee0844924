package journal

import "context"

// What tests in the outer package need of the inner one: they use an engine, which imports this package.
const (
	RedriveID     = redriveID
	TestNoteEvery = noteEvery
	QueueBytes    = queueBytes
	DerivedKey    = derivedKey
)

// AsReplay is asReplay.
func AsReplay(line []byte) ([]byte, error) { return asReplay(line) }

// DeadKey is the key of a dead letter in the table.
func DeadKey(number uint64) string { return deadKey(number) }

// Retain drops what is too old, as Run does once a minute.
func (j *Journal) Retain(ctx context.Context) error { return j.retain(ctx) }
