package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A model of a lane: which events there are, and what became of them. The lane is opened and ended, killed, the journal damaged and healed, at random.
type laneModel struct {
	t    *rapid.T
	tb   *testing.T
	dir  string
	r    *rig
	cfg  LaneConfig
	sink *scripted
	stop func(drain bool) error

	events  []modelEvent
	crashed bool   // some may come twice
	image   []byte // of the file of the cursors, some time ago
	cursor  []byte // and of the one in the state
}

type modelEvent struct {
	pipeline.Event
	number  uint64
	damaged bool
	healed  bool
	dead    bool // it is refused for good
}

// scripted answers each event as its script says, and then accepts it.
type scripted struct {
	mu     sync.Mutex
	script map[string][]error // by id
	got    []pipeline.Record
}

func (s *scripted) Deliver(_ context.Context, records []pipeline.Record) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range records {
		if left := s.script[r.ID]; len(left) > 0 {
			if i == 0 && !pipeline.IsPermanent(left[0]) {
				s.script[r.ID] = left[1:]
			}
			return i, left[0]
		}
		s.got = append(s.got, r)
	}
	return len(records), nil
}

func (s *scripted) Close() error { return nil }

func (s *scripted) times(id string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.got {
		if r.ID == id {
			n++
		}
	}
	return n
}

func (m *laneModel) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *laneModel) open() { _, m.stop = m.r.lane(m.sink, m.cfg) }

func (m *laneModel) send() {
	answers := []error{
		errors.New("status 500"), pipeline.Unavailable(errors.New("refused")), pipeline.Unanswered(errors.New("timeout")),
		pipeline.RetryAfter(1, errors.New("status 429")),
	}
	for range rapid.IntRange(1, 4).Draw(m.t, "events") {
		n := len(m.events)
		e := modelEvent{Event: newEvent(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(m.t, "account"), pipeline.OriginLive, n)}
		var script []error
		for range rapid.IntRange(-6, 7).Draw(m.t, "failures") {
			script = append(script, rapid.SampledFrom(answers).Draw(m.t, "answer"))
		}
		if rapid.IntRange(0, 9).Draw(m.t, "dead") == 0 {
			script, e.dead = append(script, pipeline.Permanent(errors.New("status 400"))), true
		}
		m.sink.mu.Lock()
		m.sink.script[e.ID] = script
		m.sink.mu.Unlock()
		e.number = m.r.put(entryOf(m.tb, &e.Event))[0]
		m.events = append(m.events, e)
	}
}

// remember makes an image of the cursors.
func (m *laneModel) remember() {
	m.must(m.r.home.store.Save(true))
	m.must(m.r.home.store.Copy(m.t.Context(), "box"))
	var err error
	m.image, err = os.ReadFile(m.r.cursorFile())
	m.must(err)
	m.cursor, _, err = m.r.state.Get(m.t.Context(), journal.CursorKey("box"))
	m.must(err)
}

// crash ends relay as if it had been killed and had not saved its cursors since the image. What else it kept it has.
func (m *laneModel) crash() {
	if m.image == nil {
		m.remember()
	}
	m.must(m.stop(false))
	_, err := m.r.state.Put(m.t.Context(), journal.CursorKey("box"), m.cursor, journal.AnyRevision)
	m.must(err)
	m.r.stop()
	m.must(os.WriteFile(m.r.cursorFile(), m.image, 0o600))
	m.crashed = true
	m.r = newRig(m.tb, m.dir)
	m.open()
}

func (m *laneModel) restart(between func()) {
	m.must(m.stop(rapid.Bool().Draw(m.t, "drain")))
	m.r.stop()
	m.image = nil
	between()
	m.r = newRig(m.tb, m.dir)
	m.open()
}

// damage flips a bit in an event on disk.
func (m *laneModel) damage() {
	i := rapid.IntRange(0, len(m.events)-1).Draw(m.t, "event")
	e := &m.events[i]
	if e.damaged {
		return
	}
	files, err := filepath.Glob(filepath.Join(m.dir, "journal", "*.log"))
	m.must(err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		m.must(err)
		if at := bytes.Index(data, []byte(`"title":"`+*e.Data.Title)); at > 0 {
			data[at+12] ^= 4
			m.must(os.WriteFile(file, data, 0o600))
			e.damaged = true
		}
	}
}

// heal journals again what was damaged.
func (m *laneModel) heal() {
	for i := range m.events {
		e := &m.events[i]
		if !e.damaged || e.healed {
			continue
		}
		again := e.Event
		again.Origin = pipeline.OriginBackfill
		entry := entryOf(m.tb, &again)
		entry.Ref = e.number
		m.r.put(entry)
		e.healed = true
	}
}

// good journals an event for each account that is accepted.
func (m *laneModel) good() {
	for _, account := range []string{"a", "b", "c"} {
		e := modelEvent{Event: newEvent(account, pipeline.OriginLive, len(m.events))}
		e.number = m.r.put(entryOf(m.tb, &e.Event))[0]
		m.events = append(m.events, e)
	}
}

// check is the promise. What is refused for good shows when another is accepted, as often as that takes.
func (m *laneModel) check() {
	m.heal()
	m.good()
	m.r.eventually(func() error {
		if last := m.events[len(m.events)-3:]; !slices.ContainsFunc(last, func(e modelEvent) bool { return m.sink.times(e.ID) == 0 }) && len(m.r.place("box").Open) > 0 {
			m.good()
		}
		letters, err := m.r.letters()
		if err != nil {
			return err
		}
		for i := range m.events {
			e := &m.events[i]
			dead := slices.ContainsFunc(letters, func(l journal.DeadLetter) bool { return l.ID == e.ID })
			switch got := m.sink.times(e.ID); {
			case got == 0 && !dead:
				return fmt.Errorf("number %d is neither accepted nor dead; %s", e.number, m.r.lanes())
			case got > 1 && !m.crashed:
				m.t.Fatalf("number %d was accepted %d times", e.number, got)
			case e.dead != dead && !e.damaged:
				m.t.Fatalf("number %d: dead letter is %v", e.number, dead)
			}
		}
		if c := m.r.place("box"); len(c.Open) > 0 {
			return fmt.Errorf("cursor %+v", c)
		}
		return nil
	})
	if !m.cfg.Strict {
		return
	}
	newest, seen := make(map[string]uint64), make(map[string]bool)
	for _, r := range m.sink.got {
		i := slices.IndexFunc(m.events, func(e modelEvent) bool { return e.ID == r.ID })
		if seen[r.ID] || m.events[i].damaged {
			continue
		}
		if seen[r.ID] = true; newest[r.Account] > r.Seq {
			m.t.Fatalf("number %d of %s came after %d", r.Seq, r.Account, newest[r.Account])
		}
		newest[r.Account] = r.Seq
	}
}

// Whatever the sink answers, and however relay ends, dies and finds its journal damaged: each event is settled, in order if that is wanted, and once if relay was
// not killed.
func TestLaneModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &laneModel{t: rt, tb: t, dir: filepath.Join(t.TempDir(), "relay"), sink: &scripted{script: make(map[string][]error)}}
		m.cfg = LaneConfig{Strict: rapid.Bool().Draw(rt, "strict"), Concurrency: rapid.IntRange(0, 2).Draw(rt, "concurrency")}
		m.must(os.Mkdir(m.dir, 0o700))
		m.r = newRig(t, m.dir)
		defer func() {
			_ = m.stop(false)
			m.r.stop()
			_ = os.RemoveAll(m.dir)
		}()
		m.open()
		actions := map[string]func(){
			"send": m.send, "send more": m.send, "send still more": m.send,
			"remember": m.remember,
			"crash":    m.crash,
			"reopen": func() {
				m.must(m.stop(rapid.Bool().Draw(rt, "drain")))
				m.image = nil
				m.open()
			},
			"restart": func() { m.restart(func() {}) },
			"damage": func() {
				if len(m.events) > 0 {
					m.restart(m.damage)
				}
			},
			"heal": m.heal,
		}
		names := []string{"send", "send more", "send still more", "remember", "crash", "reopen", "restart", "damage", "heal"}
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			actions[rapid.SampledFrom(names).Draw(rt, "action")]()
		}
		m.check()
	})
}
