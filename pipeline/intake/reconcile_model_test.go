package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline/intake/history"
)

// A plate is all there is to a treat of the model: what and in which second. Many are alike.
type plate struct {
	title  string
	second int
}

// stage is a provider and a relay, of which treats are missed, come late, come twice, and which is killed.
type stage struct {
	t       *rapid.T
	outer   *testing.T
	dir     string
	r       *rig
	account string
	begin   time.Time

	sent   []plate   // by the provider, oldest first
	wire   []plate   // on their way to relay
	stale  [][]plate // replies that the provider made and may give runNext
	online bool
	during func() // what happens between a reply and its use

	intake *Intake
	rec    *Reconciler
	kill   func()

	images int    // of the data folder
	backup string // an older image of the log and state; empty: there is none
	losing bool   // the log may lose its end; else the index may be damaged

	logins   *logins
	early    bool          // the login was before the first treat: nothing is known
	started  bool          // there is a baseline
	baseline map[plate]int // at most so many of each are known and not journaled
	repeats  map[plate]int // what came twice of one
}

var errKilled = errors.New("killed")

// start starts relay on the newest image of its data. It is not connected yet.
func (s *stage) start() {
	r := &rig{t: s.outer, dir: s.image()}
	if err := r.open(s.outer.Context(), time.Hour); err != nil {
		s.t.Fatal(err)
	}
	s.r = r
	s.intake = r.intakeOf(s.account, zerolog.Nop())
	s.rec = NewReconciler(s.intake, s, ReconcileConfig{Logins: s.logins})
	ctx, cancel := context.WithCancelCause(s.outer.Context())
	var writer, comparer sync.WaitGroup
	writer.Go(func() { _ = r.Journal.Run(ctx) }) // which gives up what is not written yet
	comparer.Go(func() { s.rec.Run(ctx) })
	s.kill = func() {
		cancel(errKilled)
		comparer.Wait()
		r.Journal.Close()
		writer.Wait()
		s.images++
		s.copy(r.dir, s.image()) // as it is, before anything is closed
		r.close()
		s.wire, s.online = nil, false
	}
}

func (s *stage) image() string { return filepath.Join(s.dir, fmt.Sprint(s.images)) }

// copy copies a folder, in which the log may still rename files that it can do without.
func (s *stage) copy(from, to string) {
	err := os.CopyFS(to, os.DirFS(from))
	for range 1000 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.RemoveAll(to); err == nil {
			err = os.CopyFS(to, os.DirFS(from))
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// backUp makes an image of what is on disk.
func (s *stage) backUp() {
	if err := s.intake.Flush(s.outer.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.backup = filepath.Join(s.dir, fmt.Sprint("backup", s.images, len(s.sent)))
	if err := os.RemoveAll(s.backup); err != nil {
		s.t.Fatal(err)
	}
	for _, part := range []string{"journal", "state"} {
		s.copy(filepath.Join(s.r.dir, part), filepath.Join(s.backup, part))
	}
}

// restore puts an older log, and its state, in the place of that of a relay that was killed.
func (s *stage) restore(parts ...string) {
	for _, part := range parts {
		at := filepath.Join(s.image(), part)
		if err := os.RemoveAll(at); err != nil {
			s.t.Fatal(err)
		}
		s.copy(filepath.Join(s.backup, part), at)
	}
}

// damageIndex flips a byte of each file of the index of a relay that was killed.
func (s *stage) damageIndex() {
	files, err := filepath.Glob(filepath.Join(s.image(), "index", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(data) > 0 {
			data[rapid.IntRange(0, len(data)-1).Draw(s.t, "offset")] ^= 1 << rapid.IntRange(0, 7).Draw(s.t, "bit")
			if err := os.WriteFile(name, data, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *stage) connect() {
	if err := s.intake.CatchUp(s.outer.Context()); err != nil {
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
	if err := s.intake.Handle(s.outer.Context(), []json.RawMessage{dish(p.title, s.begin, p.second)}, time.Now()); err != nil {
		s.t.Fatal(err)
	}
}

// Fetch implements [History].
func (s *stage) Fetch(ctx context.Context) (history.Reply, error) {
	held := s.sent
	if n := len(s.stale); n > 0 {
		held, s.stale = s.stale[0], s.stale[1:]
	}
	if !s.started && !s.early {
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
	if _, err := s.rec.Reconcile(s.outer.Context()); err != nil {
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
	if err := s.intake.Flush(s.outer.Context()); err != nil {
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
	s.r.checkMarks(s.account)
	have, sent := count(got), count(s.sent)
	for _, p := range append(slices.Clone(got), s.sent...) {
		least, most := sent[p]-s.baseline[p], sent[p]+s.repeats[p]
		for other, n := range s.repeats {
			// The second of those is taken for a treat with a date that is off, or that for it: then there is one less of one date, and one more of another.
			if other.title == p.title && (other != p || alike(s.sent, p)) {
				least, most = least-n, most+n
			}
		}
		if have[p] < least || have[p] > most {
			s.t.Fatalf("%d of %v in the journal, want %d to %d", have[p], p, least, most)
		}
	}
	inAll, sentInAll, known, twice := perTitle(have), perTitle(sent), perTitle(s.baseline), perTitle(s.repeats)
	for title, n := range sentInAll {
		if got := inAll[title]; got < n-known[title] || got > n+twice[title] {
			s.t.Fatalf("%d of %s in the journal, want %d to %d", got, title, n-known[title], n+twice[title])
		}
	}
}

// alike reports whether another treat differs from p in its date only.
func alike(all []plate, p plate) bool {
	return slices.ContainsFunc(all, func(other plate) bool { return other.title == p.title && other != p })
}

// perTitle counts those of each title.
func perTitle(counts map[plate]int) map[string]int {
	sums := make(map[string]int)
	for p, n := range counts {
		sums[p.title] += n
	}
	return sums
}

// Whatever is missed, late, alike, stale or killed, and whatever the log loses of its end or the index of its files: in the end the journal has what the
// provider has sent, each once.
func TestReconcileModel(t *testing.T) {
	begin, folder, cases := evening(), t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		cases++
		dir := filepath.Join(folder, fmt.Sprint(cases))
		defer func() { _ = os.RemoveAll(dir) }() // what is left goes with the folder
		s := &stage{
			t: rt, outer: t, dir: dir, account: "acc", begin: begin, baseline: make(map[plate]int), repeats: make(map[plate]int),
			losing: rapid.Bool().Draw(rt, "the log loses its end"), logins: &logins{},
		}
		if s.early = rapid.Bool().Draw(rt, "the login is before the first treat"); s.early {
			s.logins.again("1", begin.Add(-time.Minute))
		}
		s.start()
		defer func() { s.kill() }()
		if rapid.Bool().Draw(rt, "empty baseline") { // so that all counts are exact
			s.reconcile()
		}
		rt.Repeat(s.actions())
		s.check()
	})
}

func (s *stage) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"send":   func(*rapid.T) { s.send(s.draw()) },
		"send 2": func(*rapid.T) { p := s.draw(); s.send(p); s.send(p) },
		"receive": func(t *rapid.T) {
			for range rapid.IntRange(1, 4).Draw(t, "treats") {
				s.receive()
			}
		},
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
		"back up": func(t *rapid.T) {
			if !s.losing {
				t.Skip("it would not be used")
			}
			s.backUp()
		},
		"kill and restore": func(t *rapid.T) {
			if s.backup == "" {
				t.Skip("there is no backup")
			}
			s.kill()
			if s.restore("journal"); rapid.Bool().Draw(t, "and the state") {
				s.restore("state")
			}
			s.start()
		},
		"kill and damage the index": func(t *rapid.T) {
			if s.losing {
				t.Skip("then it is the only one who knows")
			}
			s.kill()
			if rapid.Bool().Draw(t, "remove it") {
				if err := os.RemoveAll(filepath.Join(s.image(), "index")); err != nil {
					t.Fatal(err)
				}
			}
			s.damageIndex()
			s.start()
		},
		"": func(*rapid.T) {},
	}
}
