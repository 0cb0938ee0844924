package journal

import (
	"context"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// What tests in the outer package need of the inner one: they use an engine, which imports this package.
const (
	RedriveID     = redriveID
	TestNoteEvery = noteEvery
	AttemptText   = attemptText
	AttemptBuffer = attemptBuffer
	AttemptChunk  = attemptChunk
	QueueBytes    = queueBytes
	DerivedKey    = derivedKey
)

// AsReplay is asReplay.
func AsReplay(line []byte) ([]byte, error) { return asReplay(line) }

// DeadKey is the key of a dead letter in the table.
func DeadKey(number uint64) string { return deadKey(number) }

// Retain drops what is too old, as Run does once a minute.
func (j *Journal) Retain(ctx context.Context) error { return j.retain(ctx) }

// DecodeAttempts decodes the data of an entry of the log of attempts.
func DecodeAttempts(data []byte) (lines []byte, err error) {
	_, lines, err = decodeAttempts(data)
	return lines, err
}

// EventTime is eventTime.
func EventTime(line []byte) (time.Time, error) { return eventTime(line) }

// AppendAttempt is appendAttempt.
func AppendAttempt(b []byte, a *pipeline.Attempt) []byte { return appendAttempt(b, a) }

// EncodeAttempts is encodeAttempts.
func EncodeAttempts(newest map[string]uint64, lines []byte) []byte {
	return encodeAttempts(nil, newest, lines)
}
