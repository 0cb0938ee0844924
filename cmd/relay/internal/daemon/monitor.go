package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/series"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// A monitor takes snapshots of the status of a relay. Its methods may be called by several goroutines.
type monitor struct {
	cfg     *config.Config
	started time.Time
	opened  chan struct{} // closed by open

	phase struct {
		sync.Mutex
		job      *job // nil until everything is open
		stopping bool
	}
	turn   sync.Mutex // held while taking a snapshot
	last   api.Status
	series series.Series
}

func newMonitor(cfg *config.Config) *monitor {
	return &monitor{cfg: cfg, started: time.Now(), opened: make(chan struct{})}
}

// open reports that the journal is open. It must be called once.
func (m *monitor) open() { close(m.opened) }

// watch reports that everything of the job is open.
func (m *monitor) watch(j *job) {
	m.phase.Lock()
	defer m.phase.Unlock()
	m.phase.job = j
}

// stop reports that relay is stopping.
func (m *monitor) stop() {
	m.phase.Lock()
	defer m.phase.Unlock()
	m.phase.stopping = true
}

const (
	// snapshotTimeout limits how long the journal's server may take to answer. A command waits longer.
	snapshotTimeout = 2 * time.Second
	// snapshotAge is how long a snapshot is reused, so that many requests do not keep relay busy.
	snapshotAge = 250 * time.Millisecond
)

// snapshot takes a snapshot, or returns one that is at most snapshotAge old. It never fails: the snapshot has the reasons for what is unknown.
func (m *monitor) snapshot(ctx context.Context) api.Status {
	m.turn.Lock()
	defer m.turn.Unlock()
	if age := time.Since(m.last.Time); age < snapshotAge && age >= 0 {
		return m.last
	}
	m.phase.Lock()
	j, stopping := m.phase.job, m.phase.stopping
	m.phase.Unlock()
	now := time.Now()
	s := api.Status{
		Time: now, Version: version.Number(), Started: m.started.UTC().Round(time.Second), Accounts: []api.AccountStatus{}, Sinks: []api.LaneStatus{},
		Journal: api.JournalStatus{State: api.StateAway, Server: "files", Reason: "it is not open yet"},
	}
	if !m.cfg.Journal.NATSURL.Empty() {
		s.Journal.Server = datadir.Hosts(m.cfg.Journal.NATSURL.Reveal())
	}
	var v assessment
	if j == nil {
		v.notReady("relay", "it is starting; until its journal is open nothing is received", advice.Fix{})
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotTimeout)
		v = m.observe(ctx, j, &s, now)
		cancel()
	}
	if stopping {
		v.notReady("relay", "it is stopping", advice.Fix{})
	}
	s.Readiness, s.Time = v.reached(), now.UTC()
	m.last = s
	m.last.Time = now // by the monotonic clock
	return s
}

// observe fills in a snapshot and assesses each part.
func (m *monitor) observe(ctx context.Context, j *job, s *api.Status, now time.Time) (v assessment) {
	current := j.runners()
	survey, surveyErr := query.Survey{}, errJournalAway
	if j.data.storage.Connected() {
		survey, surveyErr = query.TakeSurvey(ctx, j.data.journal)
	}
	fillJournal(&s.Journal, j.data.journal.Health(), survey, uint64(j.data.index.Count()), surveyErr) //nolint:gosec // a count
	if s.Journal.State != api.StateOK {
		v.ofJournal(&s.Journal)
	}
	for _, c := range current.cfg.Accounts {
		a := accountOf(current, c)
		if known := j.data.index.Account(c.Account); known.Seen {
			a.LastTreat = &query.Newest{Time: known.Newest.Journaled.UTC(), Origin: originOf(&known.Newest)}
		}
		v.ofAccount(&a, now)
		s.Accounts = append(s.Accounts, a)
	}
	types := make(map[string]string, len(current.cfg.Sinks))
	for _, c := range current.cfg.Sinks {
		types[c.Name] = c.Type
	}
	for _, name := range slices.Sorted(maps.Keys(current.sinks)) {
		lane, trouble := current.sinks[name].state()
		if lane == nil {
			reason := "it is starting"
			if trouble != nil {
				reason = "it does not run yet, and is tried again: " + text.Line(trouble.Error())
			}
			s.Sinks = append(s.Sinks, api.LaneStatus{Sink: name, Type: types[name], State: api.StateFailing, Reason: reason})
			v.notReady("sink "+name, reason, advice.Fix{})
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
	v.ofPages(&j.pages)
	s.RemovedSinks = removedSinks(current, survey.DeadLetters)
	return v
}

// removedSinks returns the sinks with dead letters that relay does not run with.
func removedSinks(current runners, letters map[string]uint64) (removed []api.RemovedSink) {
	for _, name := range slices.Sorted(maps.Keys(letters)) {
		if _, runs := current.sinks[name]; !runs && letters[name] > 0 {
			removed = append(removed, api.RemovedSink{Sink: name, DeadLetters: letters[name]})
		}
	}
	return removed
}

func fillJournal(j *api.JournalStatus, h journal.Health, s query.Survey, events uint64, err error) {
	j.State, j.Reason = api.StateOK, ""
	j.LastMinute, j.LastWrite, j.Waiting = h.LastMinute, h.LastWrite.UTC(), h.Waiting
	if err == nil {
		j.Events, j.Bytes, j.Oldest = &events, &s.Bytes, s.Oldest.UTC()
	} else {
		j.State, j.Reason = api.StateAway, text.Line(err.Error())
	}
	if !h.FailingSince.IsZero() {
		j.State, j.Since, j.Reason = api.StateFailing, h.FailingSince.UTC(), text.Line(h.Reason)
	}
}

var errJournalAway = errors.New("connection to the journal's server lost")

// originOf returns the origin of a received treat according to the index.
func originOf(hit *index.Hit) pipeline.Origin {
	if hit.Backfill {
		return pipeline.OriginBackfill
	}
	return pipeline.OriginLive
}

// accountOf returns the status of an account.
func accountOf(current runners, c config.Account) api.AccountStatus {
	a := api.AccountStatus{Account: c.Account, Provider: c.Provider.Name, Connection: api.ConnNone}
	for _, src := range current.sources() {
		if src.name == c.Account {
			conn := src.conn.now()
			a.Connection, a.Since, a.Reason, a.Reconnects = conn.state, conn.since.UTC(), text.Line(conn.reason), conn.reconnects
			a.Transport = string(conn.transport)
			a.Withheld = src.withheld()
		}
	}
	r, ok := current.accounts[c.Account]
	if !ok { // a reload is replacing it
		return a
	}
	token, err := grants.Status(r.account, c)
	if err != nil { // the disk
		a.Token, a.Hint = "unknown", api.Hint{Fix: "make the stored login readable: " + text.Line(err.Error())}
		return a
	}
	fix := token.Status.Fix
	if fix.Command != "" { // alone, so that a program can run it
		fix = advice.Fix{Command: fix.Command}
	}
	a.Token, a.TokenEnds, a.Hint = token.State, token.Expiry.UTC(), api.HintOf(fix)
	return a
}

func laneOf(l *delivery.LaneStatus, b *query.Backlog, typ string, now time.Time) api.LaneStatus {
	s := api.LaneStatus{
		Sink: l.Sink, Type: typ, Reason: text.Line(l.State.Reason), NextProbe: l.State.NotBefore.UTC(),
		LaneQueue:      api.LaneQueue{InFlight: l.InFlight, Retries: l.Retries},
		LaneDeliveries: api.LaneDeliveries{Delivered: l.Delivered, Failures: l.Failures, LastDelivery: l.LastDelivery.UTC()},
	}
	state, since := api.SinkStateOf(&l.State)
	s.State, s.Since = state, since.UTC()
	if state == api.StateDisabled {
		s.NextProbe = time.Time{}
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
