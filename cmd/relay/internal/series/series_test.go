package series_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/series"
)

var evening = time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)

// at returns the time of a step after the first sample.
func at(step int) time.Time { return evening.Add(time.Duration(step) * series.Step) }

func sample(sinks map[string]series.Sink, treats uint64) *series.Sample {
	return &series.Sample{Sinks: sinks, Accounts: map[string]series.Account{"a": {Owner: 1, Treats: treats}}}
}

func sink(owner any, delivered, failed uint64, waiting float64) map[string]series.Sink {
	return map[string]series.Sink{"bot": {Owner: owner, Delivered: delivered, Failed: failed, Waiting: waiting, Latency: func(n uint64) (p50, p99 time.Duration) {
		return time.Duration(n) * time.Millisecond, 1500 * time.Microsecond
	}}}
}

// tail returns the newest n values; NaN is -1.
func tail(v api.Values, n int) (last []float64) {
	for _, one := range v[len(v)-n:] {
		if math.IsNaN(one) {
			one = -1
		}
		last = append(last, one)
	}
	return last
}

func equal(t *testing.T, what string, got api.Values, want ...float64) {
	t.Helper()
	if len(got) != series.Points {
		t.Fatalf("%s has %d values", what, len(got))
	}
	last := tail(got, len(want))
	for i := range want {
		if last[i] != want[i] {
			t.Errorf("%s ends with %v, want %v", what, last, want)
			return
		}
	}
}

// A step has what was counted in it: from the second sample on, across a new owner, a new counter, and time without samples.
func TestSteps(t *testing.T) {
	var s series.Series
	if v := s.Last(); v.Points != series.Points || v.StepSeconds != 10 || len(v.Sinks)+len(v.Accounts) > 0 {
		t.Errorf("%+v", v)
	}
	s.Add(at(0), sample(sink("first", 100, 7, 0), 50))
	s.Add(at(1), sample(sink("first", 103, 7, 2), 51))
	s.Add(at(2).Add(time.Second), sample(sink("first", 103, 9, 5), 51))
	s.Add(at(5), sample(sink("first", 104, 9, math.NaN()), 60)) // two steps are missing
	s.Add(at(6), sample(sink("second", 105, 1, 0), 3))          // a reload replaced the sink, and the account's counter began again
	s.Add(at(7), sample(nil, 3))
	v := s.Last()
	if want := at(7).Add(-time.Hour); !v.Start.Equal(want) {
		t.Errorf("it begins at %v, want %v", v.Start, want)
	}
	bot := v.Sinks["bot"]
	equal(t, "delivered", bot.Delivered, -1, -1, 3, 0, -1, -1, 1, 105, -1)
	equal(t, "failed", bot.Failed, -1, -1, 0, 2, -1, -1, 0, 1, -1)
	equal(t, "waiting", bot.Waiting, -1, -1, 2, 5, -1, -1, -1, 0, -1)
	equal(t, "p50", bot.P50, -1, -1, 3, -1, -1, -1, 1, 105, -1)
	equal(t, "p99", bot.P99, -1, -1, 1.5, -1, -1, -1, 1.5, 1.5, -1)
	equal(t, "treats", v.Accounts["a"].Treats, -1, -1, 1, 0, -1, -1, 9, 3, 0)
	for i := range bot.Delivered[:series.Points-7] {
		if !math.IsNaN(bot.Delivered[i]) {
			t.Fatalf("before the start %v events were delivered", bot.Delivered[i])
		}
	}
}

// What is gone stays for an hour. The clock may be set back, and the machine may sleep for days.
func TestAnHour(t *testing.T) {
	var s series.Series
	s.Add(at(0), sample(sink("x", 0, 0, 0), 0))
	s.Add(at(1), sample(sink("x", 1, 0, 0), 0))
	for i := range series.Points - 2 {
		s.Add(at(2+i), sample(nil, uint64(i)))
	}
	if v := s.Last(); v.Sinks["bot"].Delivered[1] != 1 {
		t.Errorf("%v", v.Sinks["bot"].Delivered[:5])
	}
	for i := range 5 {
		s.Add(at(series.Points+i), sample(nil, 0))
	}
	if v := s.Last(); len(v.Sinks) > 0 || len(v.Accounts) != 1 {
		t.Errorf("after an hour there are still %d sinks", len(v.Sinks))
	}
	s.Add(at(0), sample(nil, 7)) // the clock was set back
	equal(t, "treats", s.Last().Accounts["a"].Treats, 0, 7)
	s.Add(at(1_000_000), sample(nil, 8))
	equal(t, "treats", s.Last().Accounts["a"].Treats, -1, -1, 1)
	if n := len(tail(s.Last().Accounts["a"].Treats, series.Points)); n != series.Points {
		t.Errorf("%d points", n)
	}
}

// What is unknown is null, in both directions.
func TestValues(t *testing.T) {
	data, err := json.Marshal(api.Values{1, math.NaN(), 0.25, 1e21})
	if err != nil || string(data) != "[1,null,0.25,1000000000000000000000]" {
		t.Errorf("%s, %v", data, err)
	}
	var back api.Values
	if err := json.Unmarshal(data, &back); err != nil || len(back) != 4 || back[0] != 1 || !math.IsNaN(back[1]) {
		t.Errorf("%v, %v", back, err)
	}
}
