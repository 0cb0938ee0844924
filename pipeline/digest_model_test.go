package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// kitchen is a provider and a relay that heals, is cut off while it does, and tells several sinks.
type kitchen struct {
	t       *rapid.T
	r       *rig
	schema  *jsonschema.Schema
	account string
	begin   time.Time
	sent    provider

	journal *Journal
	intake  *Intake
	rec     *Reconciler
	kill    func()

	cut   func() error // happens at the reading of a treat; nil: nothing
	reads int          // so many treats before
	down  bool         // the history does not answer

	sinks map[string]*guest
}

// A guest is a sink whose lane comes and goes.
type guest struct {
	box  *box
	cfg  LaneConfig
	stop func(drain bool) error
}

// Fetch implements [History].
func (k *kitchen) Fetch(ctx context.Context) (Reply, error) {
	if k.down {
		return nil, errors.New("closed today")
	}
	whole, err := k.sent.Fetch(ctx)
	return &cutReply{whole, k}, err
}

// A cutReply is one on which something happens in the middle of a healing.
type cutReply struct {
	Reply
	k *kitchen
}

func (c *cutReply) ReadAt(p []byte, at int64) (int, error) {
	if k := c.k; k.cut != nil {
		if k.reads--; k.reads < 0 {
			if err := k.cut(); err != nil {
				return 0, err
			}
		}
	}
	return c.Reply.ReadAt(p, at)
}

func (k *kitchen) start() {
	var err error
	k.journal, err = OpenJournal(k.r.t.Context(), JournalConfig{
		Conn: k.r.conn, Retention: time.Hour, Log: zerolog.Nop(), Metrics: k.r.journal.metrics,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.intake = NewIntake(Normalizer{Account: k.account, Provider: "treatstream", Location: time.UTC}, k.journal)
	k.rec = NewReconciler(k.intake, k, ReconcileConfig{})
	ctx, cancel := context.WithCancelCause(k.r.t.Context())
	var writer sync.WaitGroup
	writer.Go(func() { _ = k.journal.Run(ctx) }) // which gives up what is not written yet
	k.kill = func() {
		cancel(errKilled)
		k.journal.Close()
		writer.Wait()
	}
	if err := k.intake.CatchUp(ctx); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kitchen) restart() {
	k.kill()
	k.cut = nil
	k.start()
}

func (k *kitchen) dishes() (all []json.RawMessage) {
	for range rapid.IntRange(1, 5).Draw(k.t, "treats") {
		title := rapid.SampledFrom([]string{"Tea", "Soup", "Pie", "Rice"}).Draw(k.t, "title")
		all = append(all, dish(title, k.begin, rapid.IntRange(0, 600).Draw(k.t, "second")))
	}
	return all
}

func (k *kitchen) open(name string) {
	g := k.sinks[name]
	_, g.stop = k.r.lane(g.box, g.cfg)
}

// cutAt has the next healing cut off after some treats.
func (k *kitchen) cutAt(cut func() error) {
	k.reads, k.cut = rapid.IntRange(0, 6).Draw(k.t, "whole treats"), cut
}

// told counts what a sink got from the history: treats one by one, and those in digests, by title.
func (k *kitchen) told(g *guest) (single, summed map[string]int, err error) {
	single, summed = make(map[string]int), make(map[string]int)
	lines := make(map[string]string)
	g.box.mu.Lock()
	defer g.box.mu.Unlock()
	for _, r := range g.box.got[k.account] {
		if before, again := lines[r.ID]; again {
			if before != string(r.Line) {
				return nil, nil, fmt.Errorf("%s is %s and then %s", r.ID, before, r.Line)
			}
			continue // a lane that was killed may deliver again
		}
		lines[r.ID] = string(r.Line)
		if r.Type == EventType {
			if e, err := r.Event(); err != nil {
				return nil, nil, err
			} else if e.Origin == OriginBackfill {
				single[*e.Data.Title]++
			}
			continue
		}
		d, err := r.Digest()
		if err != nil || r.Type != DigestType || r.ID != d.ID || valid(k.schema, r.Line) != nil {
			return nil, nil, fmt.Errorf("record %+v with %s, %w, %w", r, r.Line, err, valid(k.schema, r.Line))
		}
		n := 0
		for _, top := range d.Data.Top {
			summed[top.Title] += top.Count
			n += top.Count
		}
		if n != d.Data.Count {
			return nil, nil, fmt.Errorf("a digest of %d treats has %d titles", d.Data.Count, n)
		}
	}
	return single, summed, nil
}

// check is the promise: every treat that was healed is told to each sink once, in the way that its rule says.
func (k *kitchen) check() {
	k.down, k.cut = false, nil
	if _, err := k.rec.reconcile(k.r.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	healed := make(map[string]int)
	for _, e := range k.r.journaled(k.account) {
		if e.Origin == OriginBackfill {
			healed[*e.Data.Title]++
		}
	}
	k.r.checkMarks(k.account)
	fed := maps.Clone(healed)
	delete(fed, "Soup")
	for name, want := range map[string]map[string]int{"digest": healed, "picky": fed, "fickle": healed} {
		k.r.eventually(func() error {
			single, summed, err := k.told(k.sinks[name])
			if err != nil {
				return err
			}
			if name != "fickle" && len(single) > 0 {
				return fmt.Errorf("%s got %v one by one", name, single)
			}
			for title, n := range single {
				summed[title] += n
			}
			if !maps.Equal(summed, want) {
				return fmt.Errorf("%s is told of %v, want %v; %s", name, summed, want, k.r.lanes())
			}
			return nil
		})
	}
}

// Wherever a healing and the lanes are cut off, and whatever a sink's rule was before: each healed treat is told once.
func TestDigestModel(t *testing.T) {
	r := newRig(t, t.TempDir())
	schema := digestSchema(t)
	begin := evening()
	soup, err := NewFilter(`data.title != "Soup"`)
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		cases++
		k := &kitchen{t: t, r: r, schema: schema, account: fmt.Sprint("acc", cases), begin: begin}
		k.sinks = map[string]*guest{
			"digest": {cfg: LaneConfig{Backfill: DigestBackfill}},
			"picky":  {cfg: LaneConfig{Backfill: DigestBackfill, Filter: soup}},
			"fickle": {},
		}
		for name, g := range k.sinks {
			g.box, g.cfg.Sink, g.cfg.Accounts = &box{}, fmt.Sprint(name, cases), []string{k.account}
			k.open(name)
		}
		k.start()
		defer func() {
			k.kill()
			for _, g := range k.sinks {
				_ = g.stop(false)
			}
		}()
		if _, err := k.rec.reconcile(k.r.t.Context()); err != nil { // the baseline is empty
			t.Fatal(err)
		}
		reopen := func(t *rapid.T, name string, change func(*LaneConfig)) {
			if err := k.sinks[name].stop(rapid.Bool().Draw(t, "drain")); err != nil {
				t.Fatal(err)
			}
			change(&k.sinks[name].cfg)
			k.open(name)
		}
		t.Repeat(map[string]func(*rapid.T){
			"miss": func(*rapid.T) { k.sent.add(k.dishes()...) },
			"live": func(*rapid.T) {
				for _, d := range k.dishes() {
					k.sent.add(d)
					r.live(k.intake, d)
				}
			},
			"heal": func(t *rapid.T) {
				if _, err := k.rec.reconcile(k.r.t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			"history away": func(*rapid.T) {
				k.down = true
				_, _ = k.rec.reconcile(k.r.t.Context())
				k.down = false
			},
			"heal in part": func(*rapid.T) {
				k.cutAt(func() error { return errors.New("file is gone") })
				_, _ = k.rec.reconcile(k.r.t.Context())
				k.cut = nil
			},
			"kill while it heals": func(*rapid.T) {
				ctx, cancel := context.WithCancelCause(k.r.t.Context())
				k.cutAt(func() error { cancel(errKilled); return nil })
				_, _ = k.rec.reconcile(ctx)
				cancel(nil)
				k.restart()
			},
			"kill before the mark": func(*rapid.T) {
				_, _ = k.rec.compare(k.r.t.Context())
				k.restart()
			},
			"kill":         func(*rapid.T) { k.restart() },
			"reopen":       func(t *rapid.T) { reopen(t, "digest", func(*LaneConfig) {}) },
			"reopen picky": func(t *rapid.T) { reopen(t, "picky", func(*LaneConfig) {}) },
			"change the rule": func(t *rapid.T) {
				reopen(t, "fickle", func(cfg *LaneConfig) {
					cfg.Backfill = rapid.SampledFrom([]BackfillRule{DeliverBackfill, DigestBackfill}).Draw(t, "rule")
				})
			},
			"": func(*rapid.T) {},
		})
		k.check()
	})
}
