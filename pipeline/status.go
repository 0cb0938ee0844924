package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lanePrefix begins the name of a lane's cursor; the sink's follows.
const lanePrefix = "lane_"

// SinkStatus is how a sink is, as the journal and the log of attempts know it.
type SinkStatus struct {
	Sink string `json:"sink"`
	// Opened is false for a sink that no relay has run yet: it begins with the next event.
	Opened bool `json:"opened"`
	SinkState
	Pending     uint64 `json:"pending"`      // events in the journal that its lane has not taken yet
	InFlight    int    `json:"in_flight"`    // events that its lane has taken and that are not done
	Retries     int    `json:"retries"`      // events that were refused and will be tried again
	DeadLetters uint64 `json:"dead_letters"` // those there are now
	// LastAttempt is the latest one in the log of attempts, LastDelivery the end of the latest that succeeded, if it is among
	// those written together with it. Nil and zero if there is none.
	LastAttempt  *Attempt  `json:"last_attempt,omitempty"`
	LastDelivery time.Time `json:"last_delivery,omitzero"`
}

// Sinks returns how the sinks of these names are, and after them the others that have a place in the journal, by name.
func (j *Journal) Sinks(ctx context.Context, names []string) ([]SinkStatus, error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return nil, fmt.Errorf("look into the journal: %w", err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(deadSubject+"*"))
	if err != nil {
		return nil, fmt.Errorf("count the dead letters: %w", err)
	}
	lanes := make(map[string]*jetstream.ConsumerInfo)
	list := stream.ListConsumers(ctx)
	for lane := range list.Info() {
		if sink, ok := strings.CutPrefix(lane.Name, lanePrefix); ok {
			lanes[sink] = lane
		}
	}
	if list.Err() != nil {
		return nil, fmt.Errorf("list the lanes in the journal: %w", list.Err())
	}
	all, others := slices.Clone(names), []string(nil)
	for sink := range lanes {
		if !slices.Contains(names, sink) {
			others = append(others, sink)
		}
	}
	slices.Sort(others)
	var statuses []SinkStatus
	for _, sink := range append(all, others...) {
		s := SinkStatus{Sink: sink, DeadLetters: info.State.Subjects[deadSubject+sink]}
		if s.SinkState, err = j.SinkState(ctx, sink); err != nil {
			return nil, err
		}
		if s.Retries, err = j.Retries(ctx, sink); err != nil {
			return nil, err
		}
		if lane := lanes[sink]; lane != nil {
			s.Opened, s.Pending, s.InFlight = true, lane.NumPending, lane.NumAckPending
		}
		if err := j.lastAttempt(ctx, &s); err != nil {
			return nil, err
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

// lastAttempt fills in what the newest message of the log of attempts says.
func (j *Journal) lastAttempt(ctx context.Context, s *SinkStatus) error {
	stream, err := j.js.Stream(ctx, AttemptStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the log of attempts: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, attemptSubject+s.Sink)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last attempt of sink %s: %w", s.Sink, err)
	}
	for line := range bytes.Lines(msg.Data) {
		var a Attempt
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("read the log of attempts, message %d: %w", msg.Sequence, err)
		}
		a.Events = nil // there may be hundreds
		s.LastAttempt = &a
		if a.Error == "" {
			s.LastDelivery = a.Time.Add(a.Latency)
		}
	}
	return nil
}
