package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// JournalHealth is how the writing of the journal goes, as the process that writes it knows it.
type JournalHealth struct {
	// FailingSince is when the write that is under way began to fail, and Reason in one line why. It is zero while writes succeed,
	// and while there is nothing to write.
	FailingSince time.Time
	Reason       string
	Waiting      int       // treats in memory that wait for it
	LastWrite    time.Time // when something was last written; zero: not yet
	LastMinute   uint64    // events written within the last 60 s
}

// Health tells how the writing of the journal goes, without asking its server.
func (j *Journal) Health() JournalHealth {
	h := j.health.now(time.Now())
	h.Waiting += len(j.queue)
	return h
}

// health is what the writer of the journal notes for [Journal.Health].
type health struct {
	mu     sync.Mutex
	state  JournalHealth
	counts [60]struct { // events written, by second
		at int64 // Unix time
		n  uint64
	}
}

func (h *health) now(now time.Time) JournalHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	state := h.state
	for _, c := range h.counts {
		if age := now.Unix() - c.at; age >= 0 && age < int64(len(h.counts)) {
			state.LastMinute += c.n
		}
	}
	return state
}

// failed notes that a write of so many entries, which began then, does not succeed.
func (h *health) failed(since time.Time, waiting int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.FailingSince.IsZero() {
		h.state.FailingSince = since
	}
	h.state.Reason, h.state.Waiting = OneLine(err), waiting
}

// wrote notes that a write has succeeded, and how many events were new in it.
func (h *health) wrote(now time.Time, events uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = JournalHealth{LastWrite: now}
	c := &h.counts[now.Unix()%int64(len(h.counts))]
	if c.at != now.Unix() {
		c.at, c.n = now.Unix(), 0
	}
	c.n += events
}

// OneLine is the text of an error without line breaks.
func OneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Survey is what the journal's server says of the journal.
type Survey struct {
	Events uint64    // of accounts; what else the journal keeps is not counted
	Bytes  uint64    // of all that it keeps
	Oldest time.Time // when the oldest message was journaled; zero: it is empty
	// Newest has the newest event of each account that was asked for and has one.
	Newest map[string]Newest
	// Backlogs are what the sinks have not got, for each that has a place in the journal.
	Backlogs map[string]Backlog
}

// Newest tells of an account's newest event.
type Newest struct {
	Time   time.Time `json:"time"` // when it was journaled
	Origin Origin    `json:"origin"`
}

// Backlog is what a sink has not got.
type Backlog struct {
	Pending     uint64    // events that its lane has not taken yet
	Oldest      time.Time // when the oldest of them was journaled; zero: there are none
	DeadLetters uint64    // those there are now
}

// Survey asks the journal's server about the journal and the newest events of these accounts. It is an error, at once, while the
// connection to it is lost.
func (j *Journal) Survey(ctx context.Context, accounts []string) (s Survey, err error) {
	if !j.nc.IsConnected() {
		return s, errConnLost
	}
	defer func() { err = causeOf(ctx, err) }()
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return s, fmt.Errorf("look into the journal: %w", err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("relay.*.*"))
	if err != nil {
		return s, fmt.Errorf("look into the journal: %w", err)
	}
	s = Survey{Bytes: info.State.Bytes, Newest: make(map[string]Newest), Backlogs: make(map[string]Backlog)}
	if info.State.Msgs > 0 {
		s.Oldest = info.State.FirstTime
	}
	for subject, n := range info.State.Subjects {
		if strings.HasPrefix(subject, journalSubject) {
			s.Events += n
		}
	}
	for _, account := range accounts {
		if info.State.Subjects[journalSubject+account] == 0 {
			continue
		}
		msg, err := stream.GetLastMsgForSubject(ctx, journalSubject+account)
		switch {
		case err == nil:
			s.Newest[account] = Newest{msg.Time, Origin(msg.Header.Get(headerOrigin))}
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return s, fmt.Errorf("find the newest event of %s in the journal: %w", account, err)
		}
	}
	list := stream.ListConsumers(ctx)
	var lanes []*jetstream.ConsumerInfo
	for lane := range list.Info() {
		lanes = append(lanes, lane)
	}
	if list.Err() != nil {
		return s, fmt.Errorf("list the lanes in the journal: %w", list.Err())
	}
	for _, lane := range lanes {
		sink, ok := strings.CutPrefix(lane.Name, lanePrefix)
		if !ok {
			continue
		}
		b := Backlog{Pending: lane.NumPending, DeadLetters: info.State.Subjects[deadSubject+sink]}
		if b.Pending > 0 {
			if b.Oldest, err = oldestPending(ctx, stream, lane); err != nil {
				return s, fmt.Errorf("look what sink %s has not got: %w", sink, err)
			}
		}
		s.Backlogs[sink] = b
	}
	return s, nil
}

// oldestPending is when the oldest message was journaled that a lane has not taken yet; zero if it was taken meanwhile.
func oldestPending(ctx context.Context, stream jetstream.Stream, lane *jetstream.ConsumerInfo) (oldest time.Time, err error) {
	from := max(lane.Delivered.Stream+1, lane.Config.OptStartSeq)
	for _, subject := range lane.Config.FilterSubjects {
		msg, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return oldest, err
		}
		if oldest.IsZero() || msg.Time.Before(oldest) {
			oldest = msg.Time
		}
	}
	return oldest, nil
}
