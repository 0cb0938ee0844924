package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// The states of a relay as a whole, and of its journal.
const (
	stateReady    = "ready"
	stateDegraded = "degraded"  // it does its work, but for what somebody else has to mend
	stateNotReady = "not_ready" // it does not receive, journal or deliver as it should
	stateOK       = "ok"
	stateFailing  = "failing" // the journal cannot be written
	stateAway     = "away"    // the journal's server does not answer
)

// snapshot is how a running relay is at one moment: what relay status --json prints. It holds no secret.
type snapshot struct {
	judgement
	Time     time.Time       `json:"time"`
	Version  string          `json:"version"`
	Started  time.Time       `json:"started"`
	Accounts []accountStatus `json:"accounts"`
	Journal  journalStatus   `json:"journal"`
	Sinks    []laneStatus    `json:"sinks"`
}

// judgement is what follows from a snapshot: what /readyz answers.
type judgement struct {
	State    string    `json:"state"` // ready, degraded or not_ready
	NotReady []trouble `json:"not_ready"`
	Degraded []trouble `json:"degraded"`
}

// trouble is a part of relay that is not as it should be, and why, each in one line.
type trouble struct {
	Part   string `json:"part"` // relay, journal, account NAME or sink NAME
	Reason string `json:"reason"`
}

func (t trouble) String() string { return t.Part + ": " + t.Reason }

// accountStatus is how an account is. An account that receives no treats has no connection, and only a token.
type accountStatus struct {
	Account    string        `json:"account"`
	Provider   string        `json:"provider"`
	Connection string        `json:"connection"` // connected, connecting, reconnecting, login_needed or none
	Since      time.Time     `json:"since,omitzero"`
	Transport  string        `json:"transport,omitempty"` // websocket or polling, of one that is connected
	Reason     string        `json:"reason,omitempty"`    // why it is not connected, or not by websocket
	Reconnects int           `json:"reconnects"`          // since relay runs
	LastTreat  *query.Newest `json:"last_treat,omitempty"`
	Token      auth.State    `json:"token"`
	TokenEnds  time.Time     `json:"token_expiry,omitzero"`
	Fix        string        `json:"fix,omitempty"` // what somebody has to do about the token
	Withheld   int           `json:"history_withheld,omitempty"`
}

// journalStatus is how the journal is. What its server says is nil while that does not answer.
type journalStatus struct {
	State      string    `json:"state"` // ok, failing or away
	Since      time.Time `json:"since,omitzero"`
	Reason     string    `json:"reason,omitempty"`
	Server     string    `json:"server"` // files, or the hosts of journal.nats_url
	Events     *uint64   `json:"events,omitempty"`
	Bytes      *uint64   `json:"bytes,omitempty"`
	Oldest     time.Time `json:"oldest,omitzero"`
	LastMinute uint64    `json:"events_last_minute"`
	LastWrite  time.Time `json:"last_write,omitzero"` // since relay runs
	Waiting    int       `json:"waiting"`             // treats in memory that are not written yet
}

// laneStatus is how a sink and its lane are. Counts begin with relay's start. What the journal's server says is nil while that does
// not answer.
type laneStatus struct {
	Sink         string    `json:"sink"`
	Type         string    `json:"type"`
	State        string    `json:"state"` // ok, down or disabled
	Since        time.Time `json:"since,omitzero"`
	Reason       string    `json:"reason,omitempty"`
	NextProbe    time.Time `json:"next_probe,omitzero"`
	Pending      *uint64   `json:"pending,omitempty"` // in the journal, and not taken from it yet
	InFlight     int       `json:"in_flight"`         // taken, and not done
	Retries      int       `json:"retries"`           // refused several times, and waiting while others pass
	Lag          float64   `json:"lag_seconds"`       // how long the oldest of the pending and those in flight has been in the journal
	Delivered    uint64    `json:"delivered"`
	Failures     uint64    `json:"failed_attempts"`
	LastDelivery time.Time `json:"last_delivery,omitzero"`
	P50          *float64  `json:"latency_p50_seconds,omitempty"` // of the latest 1,024, from on disk to accepted
	P99          *float64  `json:"latency_p99_seconds,omitempty"`
	DeadLetters  *uint64   `json:"dead_letters,omitempty"`
}

// A monitor looks at a relay that runs. Its methods are for any goroutine.
type monitor struct {
	cfg     *Config
	started time.Time
	opened  chan struct{} // closed by open

	phase struct {
		sync.Mutex
		job      *job // nil until everything is open
		stopping bool
	}
	turn sync.Mutex // one look at a time
	last snapshot
}

func newMonitor(cfg *Config) *monitor {
	return &monitor{cfg: cfg, started: time.Now(), opened: make(chan struct{})}
}

// open says that the journal is open.
func (m *monitor) open() { close(m.opened) }

// watch says that everything of the job is open.
func (m *monitor) watch(j *job) {
	m.phase.Lock()
	defer m.phase.Unlock()
	m.phase.job = j
}

// stop says that relay is stopping.
func (m *monitor) stop() {
	m.phase.Lock()
	defer m.phase.Unlock()
	m.phase.stopping = true
}

const (
	// lookTime is how long the journal's server may take to answer. Whoever asks over the control socket waits longer.
	lookTime = 2 * time.Second
	// lookAgain is how old a snapshot may be that is given to the next who asks, so that they cannot keep relay busy.
	lookAgain = 250 * time.Millisecond
)

// look makes a snapshot, or gives one that was made just before. It always has one: what cannot be found out is in it.
func (m *monitor) look(ctx context.Context) snapshot {
	m.turn.Lock()
	defer m.turn.Unlock()
	if age := time.Since(m.last.Time); age < lookAgain && age >= 0 {
		return m.last
	}
	m.phase.Lock()
	j, stopping := m.phase.job, m.phase.stopping
	m.phase.Unlock()
	now := time.Now()
	s := snapshot{
		Time: now, Version: version(), Started: m.started.UTC().Round(time.Second), Accounts: []accountStatus{}, Sinks: []laneStatus{},
		Journal: journalStatus{State: stateAway, Server: "files", Reason: "it is not open yet"},
	}
	if !m.cfg.Journal.NATSURL.Empty() {
		s.Journal.Server = natsHosts(m.cfg.Journal.NATSURL.Reveal())
	}
	var v judgement
	if j == nil {
		v.notReady("relay", "it is starting; until its journal is open nothing is received")
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		v = m.observe(ctx, j, &s, now)
		cancel()
	}
	if stopping {
		v.notReady("relay", "it is stopping")
	}
	s.judgement, s.Time = v.reached(), now.UTC()
	m.last = s
	m.last.Time = now // by the monotonic clock
	return s
}

// observe fills in a snapshot and judges each part.
func (m *monitor) observe(ctx context.Context, j *job, s *snapshot, now time.Time) (v judgement) {
	parts := j.parts()
	survey, surveyErr := query.Survey{}, errJournalAway
	if j.storage.connected() {
		survey, surveyErr = query.TakeSurvey(ctx, j.journal)
	}
	s.Journal.fill(j.journal.Health(), survey, uint64(j.index.Count()), surveyErr) //nolint:gosec // a count
	if s.Journal.State != stateOK {
		v.notReady("journal", s.Journal.fault())
	}
	for _, c := range parts.cfg.Accounts {
		a := accountOf(parts, c)
		if known := j.index.Account(c.Account); known.Seen {
			a.LastTreat = &query.Newest{Time: known.Newest.Journaled.UTC(), Origin: originOf(&known.Newest)}
		}
		v.ofAccount(&a, now)
		s.Accounts = append(s.Accounts, a)
	}
	types := make(map[string]string, len(parts.cfg.Sinks))
	for _, c := range parts.cfg.Sinks {
		types[c.Name] = c.Type
	}
	for _, name := range slices.Sorted(maps.Keys(parts.sinks)) {
		lane, trouble := parts.sinks[name].state()
		if lane == nil {
			reason := "it is starting"
			if trouble != nil {
				reason = "it does not run yet, and is tried again: " + inLine(trouble.Error())
			}
			s.Sinks = append(s.Sinks, laneStatus{Sink: name, Type: types[name], State: stateFailing, Reason: reason})
			v.notReady("sink "+name, reason)
			continue
		}
		l := lane.Status()
		var backlog *query.Backlog
		if surveyErr == nil {
			b := survey.Backlogs[l.Sink]
			backlog = &b
		}
		s.Sinks = append(s.Sinks, laneOf(&l, backlog, types[l.Sink], now))
		v.ofLane(&l, backlog, now)
	}
	return v
}

func (j *journalStatus) fill(h journal.Health, s query.Survey, events uint64, err error) {
	j.State, j.Reason = stateOK, ""
	j.LastMinute, j.LastWrite, j.Waiting = h.LastMinute, h.LastWrite.UTC(), h.Waiting
	if err == nil {
		j.Events, j.Bytes, j.Oldest = &events, &s.Bytes, s.Oldest.UTC()
	} else {
		j.State, j.Reason = stateAway, inLine(err.Error())
	}
	if !h.FailingSince.IsZero() {
		j.State, j.Since, j.Reason = stateFailing, h.FailingSince.UTC(), inLine(h.Reason)
	}
}

var errJournalAway = errors.New("connection to the journal's server lost")

// originOf is the origin of a treat that was received, as far as the index knows it.
func originOf(hit *index.Hit) pipeline.Origin {
	if hit.Backfill {
		return pipeline.OriginBackfill
	}
	return pipeline.OriginLive
}

func (j *journalStatus) fault() string {
	if j.State == stateFailing {
		return fmt.Sprintf("it cannot be written since %s, %d treats wait in memory: %s; check the disk or the journal's server", stamp(j.Since), j.Waiting, j.Reason)
	}
	return j.Reason + "; check the journal's server"
}

// accountOf tells how an account's connection and token are.
func accountOf(parts live, c AccountConfig) accountStatus {
	a := accountStatus{Account: c.Account, Provider: c.Provider.Name, Connection: connNone}
	for _, src := range parts.sources() {
		if src.name == c.Account {
			conn := src.link.now()
			a.Connection, a.Since, a.Reason, a.Reconnects = conn.state, conn.since.UTC(), inLine(conn.reason), conn.reconnects
			a.Transport = string(conn.transport)
			a.Withheld = src.withheld()
		}
	}
	part, ok := parts.accounts[c.Account]
	if !ok { // it is being exchanged for another
		return a
	}
	token, err := statusOf(part.account, c)
	if err != nil { // the disk
		token.State, token.Fix = "unknown", err.Error()
	}
	a.Token, a.TokenEnds, a.Fix = token.State, token.Expiry.UTC(), inLine(token.Fix)
	return a
}

func laneOf(l *delivery.LaneStatus, b *query.Backlog, typ string, now time.Time) laneStatus {
	s := laneStatus{
		Sink: l.Sink, Type: typ, State: stateOK, InFlight: l.InFlight, Retries: l.Retries, Delivered: l.Delivered, Failures: l.Failures,
		LastDelivery: l.LastDelivery.UTC(), Reason: inLine(l.State.Reason), NextProbe: l.State.NotBefore.UTC(),
	}
	switch {
	case !l.State.DisabledSince.IsZero():
		s.State, s.Since, s.NextProbe = "disabled", l.State.DisabledSince.UTC(), time.Time{}
	case !l.State.DownSince.IsZero():
		s.State, s.Since = "down", l.State.DownSince.UTC()
	}
	oldest := l.Oldest
	if b != nil {
		s.Pending, s.DeadLetters = &b.Pending, &b.DeadLetters
		if oldest.IsZero() || !b.Oldest.IsZero() && b.Oldest.Before(oldest) {
			oldest = b.Oldest
		}
	}
	if !oldest.IsZero() {
		s.Lag = max(now.Sub(oldest), 0).Seconds()
	}
	if l.P50 > 0 {
		p50, p99 := l.P50.Seconds(), l.P99.Seconds()
		s.P50, s.P99 = &p50, &p99
	}
	return s
}

// inLine makes one printable line of a text.
func inLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// stamp is a time as the reasons say it, the same for whoever reads them.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
