package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JournalLook is what there is to be seen of a journal.
type JournalLook struct {
	Messages uint64
	Bytes    uint64
	// Newest is the event that was journaled last, at Recorded by the server's clock. Its ID is empty if there is none.
	Newest   Record
	Recorded time.Time
}

// LookAtJournal looks at the journal on a server without opening it: nothing is made or changed there. The error is an
// [ErrNoJournal] if there is none.
func LookAtJournal(ctx context.Context, conn *nats.Conn) (l JournalLook, err error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return l, fmt.Errorf("look at the journal: %w", err)
	}
	stream, err := js.Stream(ctx, JournalStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return l, ErrNoJournal
	}
	if err != nil {
		return l, fmt.Errorf("look at the journal, stream %s: %w", JournalStream, err)
	}
	state := stream.CachedInfo().State
	l.Messages, l.Bytes = state.Msgs, state.Bytes
	msg, err := stream.GetLastMsgForSubject(ctx, journalSubject+"*")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("find the newest event of the journal: %w", err)
	}
	l.Newest, l.Recorded = recordOf(msg.Sequence, msg.Subject, msg.Header, msg.Data), msg.Time
	return l, nil
}
