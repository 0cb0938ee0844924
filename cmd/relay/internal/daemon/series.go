package daemon

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/series"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// errSampleTimeout is the cause of the end of a sample for which the journal's server does not answer.
var errSampleTimeout = errors.New("the journal's server did not answer within 2 seconds")

// sample adds samples to the series until ctx ends.
func (j *job) sample(ctx context.Context) {
	tick := time.NewTicker(series.Step)
	defer tick.Stop()
	for {
		now := j.sampleNow(ctx)
		if ctx.Err() != nil {
			return
		}
		j.monitor.series.Add(time.Now(), now)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sampleNow counts what the accounts and sinks have done so far.
func (j *job) sampleNow(ctx context.Context) *series.Sample {
	s := &series.Sample{Sinks: make(map[string]series.Sink), Accounts: make(map[string]series.Account)}
	current := j.runners()
	var backlogs map[string]query.Backlog
	if j.data.storage.Connected() {
		limited, cancel := context.WithTimeoutCause(ctx, snapshotTimeout, errSampleTimeout)
		survey, err := query.TakeSurvey(limited, j.data.journal)
		cancel()
		if err == nil {
			backlogs = survey.Backlogs
		}
	}
	for name, r := range current.sinks {
		lane, _ := r.state()
		if lane == nil {
			continue
		}
		now := lane.Status()
		waiting := math.NaN()
		if b, ok := backlogs[name]; ok {
			waiting = float64(b.Pending) + float64(now.InFlight) + float64(now.Retries)
		}
		s.Sinks[name] = series.Sink{Owner: lane, Delivered: now.Delivered, Failed: now.Failures, Waiting: waiting, Latency: lane.Latency}
	}
	treats := j.treats()
	for name, r := range current.accounts {
		if r.source != nil {
			s.Accounts[name] = series.Account{Owner: r, Treats: treats[name]}
		}
	}
	return s
}

// treats returns how many treats of each account relay has journaled, according to its metrics.
func (j *job) treats() map[string]uint64 {
	families, err := j.metrics.Gather()
	if err != nil { // what could be collected is there
		j.log.Debug().Err(err).Msg("not all metrics could be collected")
	}
	treats := make(map[string]uint64)
	for _, family := range families {
		if family.GetName() != pipeline.JournaledMetric {
			continue
		}
		for _, m := range family.GetMetric() {
			account, origin := "", ""
			for _, label := range m.GetLabel() {
				switch label.GetName() {
				case "account":
					account = label.GetValue()
				case "origin":
					origin = label.GetValue()
				}
			}
			if o := pipeline.Origin(origin); o == pipeline.OriginLive || o == pipeline.OriginBackfill {
				treats[account] += uint64(m.GetCounter().GetValue())
			}
		}
	}
	return treats
}
