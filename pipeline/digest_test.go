package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// digestSchema is the published schema, with its formats checked.
func digestSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../docs/digest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// valid returns what is wrong with a line.
func valid(schema *jsonschema.Schema, line []byte) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(line)))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// digests waits until the box has so many different digests of an account, each of the published schema, and returns them.
func (r *rig) digests(b *box, account string, n int) (all []Digest) {
	r.t.Helper()
	schema := digestSchema(r.t)
	r.eventually(func() error {
		all = nil
		b.mu.Lock()
		defer b.mu.Unlock()
		seen := make(map[string]string)
		for _, record := range b.got[account] {
			if record.Type != DigestType {
				continue
			}
			if err := valid(schema, record.Line); err != nil {
				r.t.Fatalf("%v in %s", err, record.Line)
			}
			d, err := record.Digest()
			if before, again := seen[record.ID]; again && before != string(record.Line) || err != nil || d.ID != record.ID {
				r.t.Fatalf("%s has the line %s after %s: %v", record.ID, record.Line, before, err)
			} else if !again {
				all = append(all, d)
			}
			seen[record.ID] = string(record.Line)
		}
		if len(all) != n {
			return fmt.Errorf("%d digests, want %d; %s", len(all), n, r.lanes())
		}
		return nil
	})
	return all
}

// checkMarks wants the marks of an account to have no event in common, and to hold each that is from the history.
func (r *rig) checkMarks(account string) {
	r.t.Helper()
	held, backfills := make(map[uint64]int), 0
	for msg, err := range r.journal.scan(r.t.Context(), JournalStream, jetstream.ConsumerConfig{FilterSubjects: []string{healSubject + account}}) {
		var m healMark
		if err == nil {
			err = json.Unmarshal(msg.Data, &m)
		}
		if err != nil || m.Through >= msg.Seq || m.Account != account || m.Provider != "treatstream" {
			r.t.Fatalf("mark %+v, %v", m, err)
		}
		for seq := m.After + 1; seq <= m.Through; seq++ {
			held[seq]++
		}
	}
	err := r.journal.read(r.t.Context(), account, 0, time.Unix(0, 0), func(seq uint64, h nats.Header, _ []byte) error {
		if Origin(h.Get(headerOrigin)) == OriginBackfill {
			if backfills++; held[seq] != 1 {
				r.t.Errorf("number %d is in %d marks", seq, held[seq])
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// gift is a treat with these texts, of so many seconds after begin. An empty one is left out.
func gift(sender, title string, begin time.Time, second int) json.RawMessage {
	fields := map[string]string{"date_created": begin.Add(time.Duration(second) * time.Second).UTC().Format(time.DateTime)}
	if sender != "" {
		fields["sender"] = sender
	}
	if title != "" {
		fields["title"] = title
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return text
}

// Sinks of every rule are told of the same healing in their way, in the order of the journal.
func TestDigest(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	filter, err := NewFilter(`data.title != "Rice"`)
	if err != nil {
		t.Fatal(err)
	}
	var each, none, all, picky, hidden, hashed, other box
	r.lane(&each, LaneConfig{Sink: "each"})
	r.lane(&none, LaneConfig{Sink: "none", Backfill: SkipBackfill})
	r.lane(&all, LaneConfig{Sink: "all", Backfill: DigestBackfill})
	r.lane(&picky, LaneConfig{Sink: "picky", Backfill: DigestBackfill, Filter: filter, Accounts: []string{"acc"}})
	r.lane(&hidden, LaneConfig{Sink: "hidden", Backfill: DigestBackfill, Sender: HideSender})
	r.lane(&hashed, LaneConfig{Sink: "hashed", Backfill: DigestBackfill, Sender: HashSender})
	r.lane(&other, LaneConfig{Sink: "other", Backfill: DigestBackfill, Accounts: []string{"someone-else"}})
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)

	p.add(gift("Ann", "Pie", begin, 1), gift("Bob", "Tea", begin, 2), gift("", "Rice", begin, 3), gift("Ann", "Tea", begin, 4), gift("Cy", "", begin, 5))
	r.live(in, gift("Dan", "Live", begin, 6))
	p.add(gift("Dan", "Live", begin, 6))
	r.reconcile(rec)
	r.live(in, gift("Dan", "Later", begin, 7))

	d := r.digests(&all, "acc", 1)[0]
	want := DigestData{
		Account: "acc", Provider: "treatstream", Count: 5, First: begin.Add(time.Second).UTC(), Last: begin.Add(5 * time.Second).UTC(), Senders: 3, Anonymous: 1,
		Top: []TitleCount{{"Tea", 2}, {"Pie", 1}, {"Rice", 1}}, From: []string{"Ann", "Bob", "Cy"},
	}
	if diff := cmp.Diff(want, d.Data); diff != "" {
		t.Errorf("digest (-want +got):\n%s", diff)
	}
	if d.SpecVersion != "1.0" || d.Source != "/treatstream/acc" || d.Type != DigestType || d.Origin != OriginBackfill || d.DataContentType != DataContentType || d.Time.Before(d.Data.Last) {
		t.Errorf("digest %+v", d)
	}
	want.Count, want.Anonymous, want.Top = 4, 0, []TitleCount{{"Tea", 2}, {"Pie", 1}}
	p2 := r.digests(&picky, "acc", 1)[0]
	if diff := cmp.Diff(want, p2.Data); diff != "" {
		t.Errorf("digest behind a filter (-want +got):\n%s", diff)
	}
	if p2.ID == d.ID {
		t.Error("two sinks have digests of one id")
	}
	if got := r.digests(&hidden, "acc", 1)[0].Data; got.Senders != 0 || got.Anonymous != 5 || len(got.From) != 0 || got.Count != 5 {
		t.Errorf("digest without names: %+v", got)
	}
	got := r.digests(&hashed, "acc", 1)[0].Data
	if got.Senders != 3 || got.Anonymous != 1 || len(got.From) != 3 || !regexp.MustCompile(`^viewer-[0-9a-f]{16}$`).MatchString(got.From[0]) {
		t.Errorf("digest with hashes: %+v", got)
	}
	order := func(b *box) (order []string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, record := range b.got["acc"] {
			if record.Type == DigestType {
				order = append(order, "digest")
				continue
			}
			e, err := record.Event()
			switch {
			case err != nil:
				t.Fatal(err)
			case e.Data.Title == nil:
				order = append(order, "null")
			default:
				order = append(order, *e.Data.Title)
			}
		}
		return order
	}
	for _, tt := range []struct {
		name string
		box  *box
		want []string
	}{
		{"deliver", &each, []string{"Live", "Pie", "Tea", "Rice", "Tea", "null", "Later"}},
		{"skip", &none, []string{"Live", "Later"}},
		{"digest", &all, []string{"Live", "digest", "Later"}},
	} {
		r.eventually(func() error {
			if got := order(tt.box); !slices.Equal(got, tt.want) {
				return fmt.Errorf("%s got %v, want %v", tt.name, got, tt.want)
			}
			return nil
		})
	}
	if n := len(order(&other)); n != 0 {
		t.Errorf("the sink of another account got %d", n)
	}
	hash := ""
	r.eventually(func() error { // the name of a treat and of a digest is the same
		hashed.mu.Lock()
		defer hashed.mu.Unlock()
		for _, record := range hashed.got["acc"] {
			if record.Type != EventType {
				continue
			}
			if e, err := record.Event(); err != nil {
				return err
			} else if *e.Data.Title == "Later" {
				hash = *e.Data.Sender
				return nil
			}
		}
		return errors.New("the last treat has not come")
	})
	if !strings.HasPrefix(hash, "viewer-") {
		t.Errorf("sender %s", hash)
	}

	if got := r.reconcile(rec); got.Healed != 0 {
		t.Errorf("healed again: %+v", got)
	}
	r.checkMarks("acc")
	for event, err := range r.journal.Events(t.Context(), EventFilter{}) {
		if err != nil || event.Type != EventType {
			t.Errorf("history has %+v, %v", event, err)
		}
	}
	trace, err := r.journal.Trace(t.Context(), d.ID)
	if err != nil || trace.Event.Seq == 0 || trace.Event.Type != DigestType || trace.Event.Account != "acc" || trace.Journaled.IsZero() {
		t.Errorf("trace %+v, %v", trace, err)
	}
	for _, id := range []string{"dig_", "dig_" + strings.Repeat("0", 26), d.ID[:len(d.ID)-1] + "0"} {
		if _, err := r.journal.Trace(t.Context(), id); !errors.Is(err, ErrUnknownEvent) {
			t.Errorf("trace %s: %v", id, err)
		}
	}
}

// However many treats there are: a digest is small, and making it takes little memory.
func TestDigestIsBounded(t *testing.T) {
	s := newSummary(healMark{Account: "acc", Provider: "treatstream"})
	const n = 120_000
	at := evening()
	long := strings.Repeat("\u0001𝄞", 4000)
	for i := range n {
		sender, title := fmt.Sprint("sender ", i, long[:400]), fmt.Sprint("title ", i, long)
		if i%3 == 0 {
			title = "Pizza"
		}
		s.add(&Event{Time: at.Add(-time.Duration(i) * time.Second), Data: Data{Sender: &sender, Title: &title}})
	}
	d := Digest{Data: s.sum()}
	line, err := d.Line()
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Data; got.Count != n || got.Senders != digestSenders || got.Top[0] != (TitleCount{"Pizza", n / 3}) || len(got.Top) != 10 || len(got.From) != 10 ||
		!got.Last.Equal(at) || !got.First.Equal(at.Add(-(n-1)*time.Second)) {
		t.Errorf("%+v", got)
	}
	if len(line) > 32<<10 || len(s.senders) > digestSenders || len(s.titles) > digestTitles {
		t.Errorf("%d bytes, %d senders, %d titles", len(line), len(s.senders), len(s.titles))
	}
	for _, top := range d.Data.Top[1:] {
		if count := len([]rune(top.Title)); count != digestText || !strings.HasSuffix(top.Title, "…") {
			t.Errorf("a title of %d characters: %q", count, top.Title)
		}
	}
	if got := shorten(strings.Repeat("é", digestText), digestText); got != strings.Repeat("é", digestText) {
		t.Errorf("a text that fits is cut: %q", got)
	}
}

// Several relays on one journal make marks of one account at a time.
func TestMarksRace(t *testing.T) {
	r, at := newRig(t, t.TempDir()), evening()
	for round := range 20 {
		for i := range 3 {
			r.put("acc", []Origin{OriginBackfill, OriginLive}[i%2], at, 3*round+i)
		}
		r.count("relay_events_journaled_total", float64(3*round+3))
		var race sync.WaitGroup
		for range 4 {
			race.Go(func() {
				if err := r.journal.settle(t.Context(), "acc", "treatstream"); err != nil {
					t.Error(err)
				}
			})
		}
		race.Wait()
	}
	r.checkMarks("acc")
	marks := 0
	for _, err := range r.journal.scan(t.Context(), JournalStream, jetstream.ConsumerConfig{FilterSubjects: []string{healSubject + "acc"}}) {
		if err != nil {
			t.Fatal(err)
		}
		marks++
	}
	if marks != 20 {
		t.Errorf("%d marks of 20 healings", marks)
	}
	_, newest, err := r.journal.newestMark(t.Context(), "acc")
	if err != nil {
		t.Fatal(err)
	}
	if refused, err := r.journal.putMark(t.Context(), newest, 1); err != nil || !refused {
		t.Errorf("a mark that comes too late: refused %t, %v", refused, err)
	}
}
