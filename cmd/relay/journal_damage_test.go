package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// corrupt changes a file of the data folder while relay does not run, and returns its path.
func (w *world) corrupt(change func([]byte) []byte, path ...string) string {
	w.t.Helper()
	file := w.data(path...)
	content, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, change(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// segments returns the files of the journal's log, oldest first.
func (w *world) segments() []string {
	w.t.Helper()
	all, err := filepath.Glob(w.data(datadir.JournalDir, "*.log"))
	if err != nil || len(all) == 0 {
		w.t.Fatalf("segments of the journal: %v, %v", all, err)
	}
	slices.Sort(all)
	return all
}

// journaledAs returns the titles in the journal with their origins, from relay history.
func (w *world) journaledAs() (all []string) {
	w.t.Helper()
	out, stderr, code := w.command("", "history", "--json")
	if code != exit.OK {
		w.t.Fatalf("relay history: exit code %d\n%s", code, stderr)
	}
	for _, e := range events(w.t, strings.Split(strings.TrimSpace(out), "\n")) {
		all = append(all, *e.Data.Title+" "+string(e.Origin))
	}
	return all
}

// healed waits until the treats from..to-1 are in the journal again, from the provider's history.
func (w *world) healed(from, to int) {
	w.t.Helper()
	eventually(w.t, func() error {
		all := w.journaledAs()
		for n := from; n < to; n++ {
			if !slices.Contains(all, title(n)+" backfill") {
				return fmt.Errorf("%s is not in the journal again: %q", title(n), all)
			}
		}
		return nil
	})
}

// firstRun runs relay for the first time until every sink has n treats, and stops it.
func (w *world) firstRun(n int) *process {
	w.t.Helper()
	w.login()
	p := w.start()
	w.connected()
	p.err.find(w.t, "first comparison with the history")
	w.sends(0, n)
	holds(w.t, "the webhook", w.bot.lines, 0, n)
	holds(w.t, "stdout", p.out, 0, n)
	p.stop()
	return p
}

// Relay logs an event that is damaged on disk, journals it again from the provider's history, and does not send it again to sinks that had it.
// Other events are not affected.
func TestDamagedEventIsHealed(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.firstRun(20)
	before, _, _ := w.command("", "history", "--json")
	segment := w.segments()[0]
	w.corrupt(func(content []byte) []byte {
		return bytes.Replace(content, []byte(`"title":"`+title(7)), []byte(`"title":"`+"Pizzb 00oo7"), 1)
	}, datadir.JournalDir, filepath.Base(segment))
	p := w.start()
	w.connected()
	line := p.err.find(t, filepath.Base(segment))
	for _, part := range []string{`"level":"error"`, `"account":"mystream"`, `"first":`, `"kept":`, "damaged"} {
		if !strings.Contains(line, part) {
			t.Errorf("the log does not say %s: %s", part, line)
		}
	}
	w.healed(7, 8)
	w.sends(20, 25)
	holds(t, "stdout", p.out, 20, 25) // and nothing again
	holds(t, "the webhook", w.bot.lines, 0, 25)
	p.stop()
	after, _, _ := w.command("", "history", "--json")
	if id := idOf(t, before, title(7)); id != idOf(t, after, title(7)) {
		t.Errorf("it came back with another id than %s", id)
	}
	w.noSecrets(p)
	if out, stderr, code := w.command("", "journal", "verify"); code != exit.OK || !strings.Contains(out, filepath.Base(segment)) {
		t.Errorf("relay journal verify: exit code %d\n%s%s", code, out, stderr)
	}
}

// idOf is the id of the event with that title.
func idOf(t *testing.T, lines, title string) string {
	t.Helper()
	for _, e := range events(t, strings.Split(strings.TrimSpace(lines), "\n")) {
		if *e.Data.Title == title {
			return e.ID
		}
	}
	t.Fatalf("no event %q", title)
	return ""
}

// A journal that lost its newest, delivered events gets them back from the provider's history, and delivers none of them again.
func TestCutOfDeliveredEventsSendsNothingAgain(t *testing.T) {
	for name, cut := range map[string]func(w *world){
		"tail": func(w *world) {
			segments := w.segments()
			w.corrupt(func(content []byte) []byte {
				return content[:bytes.Index(content, []byte(`"title":"`+title(15)))-200]
			}, datadir.JournalDir, filepath.Base(segments[len(segments)-1]))
		},
		"all": func(w *world) {
			for _, segment := range w.segments() {
				if err := os.Remove(segment); err != nil {
					w.t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			w.firstRun(30)
			first := w.numbers()
			cut(w)
			p := w.start()
			w.connected()
			w.healed(16, 30)
			w.sends(30, 33)
			holds(t, "stdout", p.out, 30, 33)
			holds(t, "the webhook", w.bot.lines, 0, 33)
			p.stop()
			for title, number := range w.numbers() {
				if was, ok := first[title]; ok && was != number {
					continue // it was journaled again
				}
				for other, old := range first {
					if other != title && old == number {
						t.Errorf("number %d is that of %q now, and was that of %q", number, title, other)
					}
				}
			}
		})
	}
}

// numbers are the numbers of the events in the journal, by title.
func (w *world) numbers() map[string]uint64 {
	w.t.Helper()
	all := make(map[string]uint64)
	for _, r := range w.journalRecords() {
		all[titlesOf(w.t, []string{string(r.Data)})[0]] = r.Number
	}
	return all
}

// The state next to the log survives the loss of either copy: no cursor moves, and no dead letter is lost.
func TestStateIsRemoved(t *testing.T) {
	for name, files := range map[string][]string{
		"state": {filepath.Join(datadir.JournalDir, "state.db")}, "cursors": {datadir.CursorsFile}, "index": {datadir.IndexDir},
		"state and index": {filepath.Join(datadir.JournalDir, "state.db"), datadir.IndexDir},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			w.login()
			p := w.start()
			w.connected()
			p.err.find(t, "first comparison with the history")
			w.sends(0, 5)
			holds(t, "stdout", p.out, 0, 5)
			holds(t, "the webhook", w.bot.lines, 0, 5)
			w.bot.refuses(title(5))
			w.sends(5, 7) // one refused event, and one accepted
			holds(t, "stdout", p.out, 0, 7)
			p.err.find(t, "kept as a dead letter")
			w.bot.refuses()
			p.stop()
			letters := len(w.deadLetters())
			if letters != 1 {
				t.Fatalf("%d dead letters", letters)
			}
			for _, file := range files {
				if err := os.RemoveAll(w.data(file)); err != nil {
					t.Fatal(err)
				}
			}
			p = w.start()
			w.connected()
			w.sends(7, 9)
			holds(t, "stdout", p.out, 7, 9)
			eventually(t, func() error {
				if got := titlesOf(t, w.bot.get()); !slices.Equal(got[max(len(got)-2, 0):], []string{title(7), title(8)}) {
					return fmt.Errorf("the webhook got %q", got)
				}
				return nil
			})
			if got := titlesOf(t, w.bot.get()); len(got) != 8 {
				t.Errorf("the webhook got %q", got)
			}
			p.stop()
			if after := len(w.deadLetters()); after != letters {
				t.Errorf("%d dead letters, and %d before", after, letters)
			}
		})
	}
}

// Relay does not start with damage that it cannot repair, and names the file and the fix.
func TestDamageThatIsNotRepaired(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.firstRun(3)
	garbage := func([]byte) []byte { return []byte("destroyed") }
	overlay := w.corrupt(func(content []byte) []byte { return bytes.ToLower(content) }, datadir.OverlayFile)
	refused := func(code int, parts ...string) {
		t.Helper()
		p := w.start()
		if got := p.exit(); got != code {
			t.Errorf("exit code %d, want %d:\n%s", got, code, p.err.text())
		}
		for _, part := range parts {
			if !strings.Contains(p.err.text(), part) {
				t.Errorf("no word of %q:\n%s", part, p.err.text())
			}
		}
	}
	refused(exit.Failure, overlay+" is damaged; delete it to have new ones made")
	if err := os.Remove(overlay); err != nil {
		t.Fatal(err)
	}
	account := w.corrupt(garbage, datadir.AccountsDir, "mystream.json")
	refused(exit.Unauthorized, account, "damaged", "relay auth login mystream")
	w.login()

	// A journal of an early version.
	former := w.data(datadir.JournalDir, "jetstream")
	if err := os.Mkdir(former, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(exit.Unavailable, w.data(datadir.JournalDir), "early version", "--data-dir")
	if out, stderr, code := w.command("", "history"); code != exit.Unavailable || out != "" || !strings.Contains(stderr, "early version") {
		t.Errorf("relay history: exit code %d, %q\n%s", code, out, stderr)
	}
	if err := os.Remove(former); err != nil {
		t.Fatal(err)
	}
	p := w.start()
	w.connected()
	w.sends(3, 4)
	holds(t, "stdout", p.out, 3, 4)
	p.stop()

	identity, err := os.ReadFile(w.identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.identity, bytes.Replace(identity, []byte("AGE-SECRET-KEY-1"), []byte("AGE-SECRET-KEY-1Q"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(exit.Unavailable, w.identity, "put it back from a backup", "relay auth login")
}
