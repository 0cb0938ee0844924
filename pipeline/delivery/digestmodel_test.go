package delivery

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A guest is a sink whose lane comes and goes.
type guest struct {
	box  *box
	cfg  LaneConfig
	stop func(drain bool) error
}

// told counts what a sink got from the history: treats one by one, and those in digests, by title.
func (g *guest) told(schema *jsonschema.Schema, account string) (single, summed map[string]int, err error) {
	single, summed = make(map[string]int), make(map[string]int)
	lines := make(map[string]string)
	g.box.mu.Lock()
	defer g.box.mu.Unlock()
	for _, r := range g.box.got[account] {
		if before, again := lines[r.ID]; again {
			if before != string(r.Line) {
				return nil, nil, fmt.Errorf("%s is %s and then %s", r.ID, before, r.Line)
			}
			continue // a lane that was killed may deliver again
		}
		lines[r.ID] = string(r.Line)
		if r.Type == pipeline.EventType {
			if e, err := r.Event(); err != nil {
				return nil, nil, err
			} else if e.Origin == pipeline.OriginBackfill {
				single[*e.Data.Title]++
			}
			continue
		}
		d, err := r.Digest()
		if err != nil || r.Type != pipeline.DigestType || r.ID != d.ID || valid(schema, r.Line) != nil {
			return nil, nil, fmt.Errorf("record %+v with %s, %w, %w", r, r.Line, err, valid(schema, r.Line))
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

// Wherever a healing and the lanes are cut off, and whatever a sink's rule was before: each healed treat is told once.
func TestDigestModel(t *testing.T) {
	r := newRig(t, t.TempDir())
	schema := digestSchema(t)
	soup, err := rules.NewFilter(`data.title != "Soup"`)
	check(t, err)
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		cases++
		account := fmt.Sprint("acc", cases)
		guests := map[string]*guest{
			"digest": {cfg: LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill}}},
			"picky":  {cfg: LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill, Filter: soup}}},
			"fickle": {},
		}
		open := func(name string) {
			_, guests[name].stop = r.lane(guests[name].box, guests[name].cfg)
		}
		for name, g := range guests {
			g.box, g.cfg.Sink, g.cfg.Accounts = &box{}, fmt.Sprint(name, cases), []string{account}
			open(name)
		}
		defer func() {
			for _, g := range guests {
				_ = g.stop(false)
			}
		}()
		healed := make(map[string]int)
		var first, last uint64 // what is healed and in no mark
		dishes := func(origin pipeline.Origin) {
			for range rapid.IntRange(1, 5).Draw(t, "treats") {
				title := rapid.SampledFrom([]string{"Tea", "Soup", "Pie", "Rice"}).Draw(t, "title")
				number := r.journaled(gift(account, origin, "Ann", title, evening(), rapid.IntRange(0, 600).Draw(t, "second")))[0]
				if origin == pipeline.OriginBackfill {
					healed[title]++
					if last = number; first == 0 {
						first = number
					}
				}
			}
		}
		settle := func() {
			if first > 0 {
				r.mark(account, first, last)
				first = 0
			}
		}
		reopen := func(t *rapid.T, name string, change func(*LaneConfig)) {
			if err := guests[name].stop(rapid.Bool().Draw(t, "drain")); err != nil {
				t.Fatal(err)
			}
			change(&guests[name].cfg)
			open(name)
		}
		t.Repeat(map[string]func(*rapid.T){
			"live":         func(*rapid.T) { dishes(pipeline.OriginLive) },
			"heal in part": func(*rapid.T) { dishes(pipeline.OriginBackfill) },
			"heal": func(*rapid.T) {
				dishes(pipeline.OriginBackfill)
				settle()
			},
			"mark":         func(*rapid.T) { settle() },
			"reopen":       func(t *rapid.T) { reopen(t, "digest", func(*LaneConfig) {}) },
			"reopen picky": func(t *rapid.T) { reopen(t, "picky", func(*LaneConfig) {}) },
			"change the rule": func(t *rapid.T) {
				reopen(t, "fickle", func(cfg *LaneConfig) {
					cfg.Backfill = rapid.SampledFrom([]rules.BackfillRule{rules.DeliverBackfill, rules.DigestBackfill}).Draw(t, "rule")
				})
			},
			"": func(*rapid.T) {},
		})
		settle()
		fed := maps.Clone(healed)
		delete(fed, "Soup")
		for name, want := range map[string]map[string]int{"digest": healed, "picky": fed, "fickle": healed} {
			r.eventually(func() error {
				single, summed, err := guests[name].told(schema, account)
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
					return fmt.Errorf("%s got %v, want %v; %s", name, summed, want, r.lanes())
				}
				return nil
			})
		}
	})
}

// A mark that is damaged is reported, and holds up nothing.
func TestUnreadableMark(t *testing.T) {
	r := newRig(t, t.TempDir())
	var sink box
	r.lane(&sink, LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill}})
	r.put(journal.Entry{Kind: journal.Backfill, Account: "acc", Provider: "treatstream", Data: json.RawMessage(`{"account":`)})
	r.send("acc", 0, 1)
	r.holds(&sink, "acc", wantTitles(0, 1))
	if !r.lines.has("cannot be read: no digest") {
		t.Error("nothing is said")
	}
}
