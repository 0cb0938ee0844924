package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

// A plate is all there is to a treat of the model: what and in which second. Many are alike.
type plate struct {
	title  string
	second int
}

// stage is a provider and a relay, of which treats are missed, come late, come twice, and which is killed.
type stage struct {
	t       *rapid.T
	r       *rig
	account string
	begin   time.Time

	sent   []plate   // by the provider, oldest first
	wire   []plate   // on their way to relay
	stale  [][]plate // replies that the provider made and may give later
	online bool
	during func() // what happens between a reply and its use

	journal *Journal
	intake  *Intake
	rec     *Reconciler
	kill    func()

	started  bool          // there is a baseline
	baseline map[plate]int // at most so many of each are known and not journaled
	repeats  map[plate]int // what came twice of one
}

var errKilled = errors.New("killed")

// start starts relay. It is not connected yet.
func (s *stage) start() {
	var err error
	s.journal, err = OpenJournal(s.r.t.Context(), JournalConfig{
		Conn: s.r.conn, Retention: time.Hour, Log: zerolog.Nop(), Metrics: s.r.journal.metrics,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.intake = NewIntake(Normalizer{Account: s.account, Provider: "treatstream", Location: time.UTC}, s.journal)
	s.rec = NewReconciler(s.intake, s, ReconcileConfig{})
	ctx, cancel := context.WithCancelCause(s.r.t.Context())
	var writer, comparer sync.WaitGroup
	writer.Go(func() { _ = s.journal.Run(ctx) }) // which gives up what is not written yet
	comparer.Go(func() { s.rec.Run(ctx) })
	s.kill = func() {
		cancel(errKilled)
		comparer.Wait()
		s.journal.Close()
		writer.Wait()
		s.wire, s.online = nil, false
	}
}

func (s *stage) connect() {
	if err := s.intake.CatchUp(s.r.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.online = true
}

func (s *stage) draw() plate {
	return plate{
		rapid.SampledFrom([]string{"Tea", "Soup"}).Draw(s.t, "title"),
		rapid.IntRange(0, 2).Draw(s.t, "second"),
	}
}

func (s *stage) send(p plate) {
	s.sent = append(s.sent, p)
	if s.online {
		s.wire = append(s.wire, p)
	}
}

// receive takes what came first off the wire.
func (s *stage) receive() {
	if len(s.wire) == 0 {
		return
	}
	s.handle(s.wire[0])
	s.wire = s.wire[1:]
}

func (s *stage) handle(p plate) {
	if err := s.intake.Handle(s.r.t.Context(), []json.RawMessage{dish(p.title, s.begin, p.second)}, time.Now()); err != nil {
		s.t.Fatal(err)
	}
}

// Fetch implements [History].
func (s *stage) Fetch(ctx context.Context) (Reply, error) {
	held := s.sent
	if n := len(s.stale); n > 0 {
		held, s.stale = s.stale[0], s.stale[1:]
	}
	if !s.started {
		s.baseline = count(held)
	}
	p := &provider{}
	for _, one := range held {
		p.add(dish(one.title, s.begin, one.second))
	}
	if s.during != nil {
		s.during()
		s.during = nil
	}
	return p.Fetch(ctx)
}

func count(plates []plate) map[plate]int {
	counts := make(map[plate]int)
	for _, p := range plates {
		counts[p]++
	}
	return counts
}

func (s *stage) reconcile() {
	if _, err := s.rec.Reconcile(s.r.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.started = true
}

// check is the promise: every treat that was sent is journaled once, but for what was known from the start.
func (s *stage) check() {
	for len(s.wire) > 0 {
		s.receive()
	}
	s.stale = nil
	s.reconcile()
	if err := s.intake.backlog.wait(s.r.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	var got []plate
	ids := make(map[string]bool)
	for _, e := range s.r.journaled(s.account) {
		if ids[e.ID] {
			s.t.Errorf("two events have the id %s", e.ID)
		}
		ids[e.ID] = true
		got = append(got, plate{*e.Data.Title, int(e.Time.Sub(s.begin) / time.Second)})
	}
	have, sent := count(got), count(s.sent)
	for _, p := range append(slices.Clone(got), s.sent...) {
		if least, most := sent[p]-s.baseline[p], sent[p]+s.repeats[p]; have[p] < least || have[p] > most {
			s.t.Fatalf("%d of %v in the journal, want %d to %d", have[p], p, least, most)
		}
	}
}

// Whatever is missed, late, alike, stale or killed: in the end the journal has what the provider has sent, each once.
func TestReconcileModel(t *testing.T) {
	r := newRig(t, t.TempDir())
	begin := evening()
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		cases++
		s := &stage{
			t: t, r: r, account: fmt.Sprint("acc", cases), begin: begin,
			baseline: make(map[plate]int), repeats: make(map[plate]int),
		}
		s.start()
		defer func() { s.kill() }()
		if rapid.Bool().Draw(t, "empty baseline") { // so that all counts are exact
			s.reconcile()
		}
		receive := func(t *rapid.T) {
			for range rapid.IntRange(1, 4).Draw(t, "treats") {
				s.receive()
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"send":    func(*rapid.T) { s.send(s.draw()) },
			"send 2":  func(*rapid.T) { p := s.draw(); s.send(p); s.send(p) },
			"receive": receive,
			"repeat": func(t *rapid.T) {
				if len(s.wire) == 0 {
					t.Skip("nothing is on its way")
				}
				s.handle(s.wire[0])
				s.repeats[s.wire[0]]++
			},
			"connect":    func(*rapid.T) { s.connect() },
			"disconnect": func(*rapid.T) { s.wire, s.online = nil, false },
			"reply":      func(*rapid.T) { s.stale = append(s.stale, slices.Clone(s.sent)) },
			"reconcile":  func(*rapid.T) { s.reconcile() },
			"reconcile meanwhile": func(t *rapid.T) {
				sends := rapid.IntRange(0, 3).Draw(t, "sends")
				plates := make([]plate, sends)
				for i := range plates {
					plates[i] = s.draw()
				}
				receives := rapid.IntRange(0, 4).Draw(t, "receives")
				s.during = func() {
					for _, p := range plates {
						s.send(p)
					}
					for range receives {
						s.receive()
					}
				}
				s.reconcile()
			},
			"kill": func(*rapid.T) {
				s.kill()
				s.start()
			},
			"": func(*rapid.T) {},
		})
		s.check()
	})
}
