package overlay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/internal/overlayjournal"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/web/overlay"
)

// name is that of the overlay in most tests.
const name = "main"

// world is a journal with overlays that run over it.
type world struct {
	t      *testing.T
	stack  *stacktest.Stack
	config overlay.Config
	stages *overlay.Stages
	end    func()
	count  int
	puts   []uint64 // the numbers of the treats in the journal

	mu      sync.Mutex
	started []showing // by all pages, in order
}

// showing is an alert that a page has started.
type showing struct {
	Overlay, Page string
	At            time.Time
	Turn          uint64
	Alert         overlay.Alert
	Time          time.Duration
}

// inBubble runs a test over a real journal, with simulated time.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		defer func() { // also when the test has failed
			w.stop()
			if err := w.stack.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(t, w)
	})
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: dir, Logger: stacktest.Logger(t), Retention: 1000 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, stack: stack,
		config: overlay.Config{Feed: overlayjournal.Feed(stack.Journal), Store: overlayjournal.Store(stack.State), Files: dir, Location: time.UTC, Log: stacktest.Logger(t)},
	}
}

// run starts the overlays, as after a restart of relay, and returns the one named main.
func (w *world) run(changes ...func(*overlay.Settings)) *overlay.Stage {
	w.t.Helper()
	w.stop()
	var err error
	w.stages, err = overlay.NewStages(w.t.Context(), w.config, map[string]overlay.Settings{name: settings(w.t, changes...)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.stages.Run(ctx)
	}()
	w.end = func() { cancel(); <-done }
	st, err := w.stages.Stage(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

func settings(t *testing.T, changes ...func(*overlay.Settings)) overlay.Settings {
	t.Helper()
	s := overlay.NewSettings()
	for _, change := range changes {
		change(&s)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) stop() {
	if w.end != nil {
		w.end()
		w.end = nil
	}
}

// put journals n treats of the account a that are as old as age.
func (w *world) put(n int, age time.Duration) {
	w.t.Helper()
	entries := make([]journal.Entry, n)
	for i := range entries {
		w.count++
		e := stacktest.Event("a", pipeline.OriginLive, time.Now().Add(-age), w.count)
		entries[i] = stacktest.Entry(w.t, &e)
	}
	numbers, err := w.stack.Journal.Put(w.t.Context(), entries...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.puts = append(w.puts, numbers...)
}

func (w *world) putEvent(e *pipeline.Event) {
	w.t.Helper()
	numbers, err := w.stack.Journal.Put(w.t.Context(), stacktest.Entry(w.t, e))
	if err != nil {
		w.t.Fatal(err)
	}
	w.puts = append(w.puts, numbers...)
}

// viewer is a page that plays what it is told.
type viewer struct {
	w    *world
	st   *overlay.Stage
	page *overlay.Page
	id   string
	done chan struct{}

	mu   sync.Mutex
	seen []overlay.Message
}

// open opens a page. play says what it does with an alert; nil: it shows it for its time.
func (w *world) open(st *overlay.Stage, r overlay.PageRequest, play func(v *viewer, s showing)) *viewer {
	w.t.Helper()
	p, err := st.Open(r)
	if err != nil {
		w.t.Fatal(err)
	}
	v := &viewer{w: w, st: st, page: p, id: r.ID, done: make(chan struct{})}
	if play == nil {
		play = (*viewer).show
	}
	go func() {
		defer close(v.done)
		var playing sync.WaitGroup
		defer playing.Wait()
		defer p.Close()
		for m := range p.Messages() {
			v.mu.Lock()
			v.seen = append(v.seen, m)
			v.mu.Unlock()
			if m.Event == "show" {
				playing.Go(func() { play(v, decodeShow(w.t, v.id, m)) })
			}
		}
	}()
	return v
}

func decodeShow(t *testing.T, page string, m overlay.Message) showing {
	var got struct {
		Turn     uint64        `json:"turn"`
		Alert    overlay.Alert `json:"alert"`
		Duration int64         `json:"duration_ms"`
	}
	if err := json.Unmarshal(m.Data, &got); err != nil {
		t.Error(err)
	}
	return showing{Page: page, Turn: got.Turn, Alert: got.Alert, Time: time.Duration(got.Duration) * time.Millisecond}
}

// start reports that an alert starts, and returns false if it must not.
func (v *viewer) start(s showing) bool {
	if err := v.report(s, overlay.StateStarted); err != nil {
		if !errors.Is(err, overlay.ErrNotShowing) {
			v.w.t.Error(err)
		}
		return false
	}
	s.At, s.Overlay = time.Now(), v.st.Name()
	v.w.mu.Lock()
	v.w.started = append(v.w.started, s)
	v.w.mu.Unlock()
	return true
}

// show shows an alert for its time, or until the page is closed.
func (v *viewer) show(s showing) {
	if v.start(s) {
		time.Sleep(s.Time)
		_ = v.report(s, overlay.StateFinished) // skipped meanwhile, or closed
	}
}

func (v *viewer) report(s showing, state string) error {
	return v.st.Report(context.Background(), overlay.Report{Page: v.id, Turn: s.Turn, Number: s.Alert.Number, ID: s.Alert.ID, State: state})
}

// close closes the page as when its tab ends: it reports nothing any more.
func (v *viewer) close() {
	v.page.Close()
	<-v.done
}

// events returns the names of the messages so far.
func (v *viewer) events() (names []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.seen {
		names = append(names, m.Event)
	}
	return names
}

// last decodes the last message of a kind.
func (v *viewer) last(event string, into any) {
	v.w.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range slices.Backward(v.seen) {
		if m.Event == event {
			if err := json.Unmarshal(m.Data, into); err != nil {
				v.w.t.Fatal(err)
			}
			return
		}
	}
	v.w.t.Fatalf("page %s got no %s", v.id, event)
}

// showings returns what pages have started so far, without repeats of a turn by several pages.
func (w *world) showings() (all []showing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	type key struct {
		overlay string
		turn    uint64
	}
	turns := map[key]bool{}
	for _, s := range w.started {
		if k := (key{s.Overlay, s.Turn}); !turns[k] {
			turns[k] = true
			all = append(all, s)
		}
	}
	return all
}

// wantTitles compares the titles of the alerts that were shown; "+N" follows one that stands for N more.
func (w *world) wantTitles(want ...string) {
	w.t.Helper()
	var got []string
	for _, s := range w.showings() {
		text := s.Alert.Title
		if s.Alert.More > 0 {
			text += fmt.Sprintf("+%d", s.Alert.More)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("shown: %q, want %q", got, want)
	}
}

// wantEachOnce fails unless every treat in the journal is in exactly one alert, in order.
func (w *world) wantEachOnce() {
	w.t.Helper()
	at := 0
	for _, s := range w.showings() {
		if at >= len(w.puts) || s.Alert.Number != w.puts[at] {
			w.t.Fatalf("alert %d is treat %d (%s), after %d treats", s.Turn, s.Alert.Number, s.Alert.Title, at)
		}
		at += 1 + s.Alert.More
	}
	if at != len(w.puts) {
		w.t.Fatalf("%d treats are in alerts, want %d", at, len(w.puts))
	}
}

// wait lets time pass, and everything happen that is due.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
