package journalfiles

import (
	"fmt"
	"time"
)

// Kind says what was found, and done about it.
type Kind int

// The kinds of findings.
const (
	// Lost: the messages First to Last, or some of these numbers, are damaged and were taken out, or are missing.
	Lost Kind = iota + 1
	// Torn: the newest record is incomplete and was taken out: a write that a crash interrupted before it was acknowledged.
	Torn
	// Mended: a length in the record of message First was damaged and is mended. Nothing is lost.
	Mended
	// DeletionLost: a note that a message was deleted is damaged and was taken out. That message may be there again.
	DeletionLost
	// Junk: bytes that no message is missing for were taken out of a block.
	Junk
	// Restored: a file was damaged or missing, and was restored from a copy.
	Restored
	// Unfinished: a change of settings that a crash interrupted was undone, from the copies or by taking them out. Nothing is lost.
	Unfinished
	// Rebuilt: an index was damaged and was removed. The server makes it anew.
	Rebuilt
	// SettingsAside: the settings of a consumer were damaged and were taken out. Who makes it again finds its cursor as it was.
	SettingsAside
	// CursorAside: the cursor of a consumer was damaged and the consumer was taken out.
	CursorAside
	// CursorGone: a vital consumer is missing altogether. Who makes it again begins with a new cursor.
	CursorGone
	// StreamAside: the settings of a stream were damaged, and it held no messages. It was taken out.
	StreamAside
	// SealIgnored: the seal was damaged, or something that knows no seals has used the folder since.
	SealIgnored
	// StreamBroken: the settings of a stream that holds messages are damaged or missing, and there is no copy. Only as an [Error].
	StreamBroken
	// CursorBroken: the cursor of a vital consumer is damaged or missing, and there is no copy. Only as an [Error].
	CursorBroken
)

// A Finding is one thing that was not as it should be.
type Finding struct {
	Kind     Kind
	Account  string // the NATS account; empty where it is about none
	Stream   string // likewise
	Consumer string // likewise
	// File is the path of what was damaged, Kept where the damaged file is kept, if it was there.
	File string
	Kept string
	// First and Last are the numbers that it is about, 0 if none.
	First, Last uint64
	// Notes is true where notes of deletions may be lost too, so that messages that were deleted may be there again.
	Notes bool
	// Subject of the message and Time when the stream took it, as far as the damaged record can be believed; zero if not.
	Subject string
	Time    time.Time
}

// Error is a finding that nothing can be done about here.
type Error struct{ Finding Finding }

// Error implements error.
func (e *Error) Error() string {
	f := e.Finding
	if f.Kind == CursorBroken {
		return fmt.Sprintf("check the journal: %s, the cursor of %s on stream %s, is damaged or missing", f.File, f.Consumer, f.Stream)
	}
	return fmt.Sprintf("check the journal: %s, the settings of stream %s, is damaged or missing", f.File, f.Stream)
}
