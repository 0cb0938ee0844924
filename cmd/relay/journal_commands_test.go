package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
)

// The journal is verified and backed up with and without a running relay, and relay continues from the copy.
func TestJournalVerifyAndBackup(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	p.err.find(t, "first comparison with the history")
	w.sends(0, 10)
	holds(t, "stdout", p.out, 0, 10)
	holds(t, "the webhook", w.bot.lines, 0, 10)
	verified := func(flags ...string) {
		t.Helper()
		out, stderr, code := w.command("", append([]string{"journal", "verify", "--json"}, flags...)...)
		var result filelog.Summary
		if err := json.Unmarshal([]byte(out), &result); err != nil || code != exit.OK || result.Records == 0 || result.Lost > 0 {
			t.Errorf("relay journal verify %q: exit code %d, %q (%v)\n%s", flags, code, out, err, stderr)
		}
	}
	verified()
	beside, alone := filepath.Join(w.dir, "beside"), filepath.Join(w.dir, "alone")
	if _, stderr, code := w.command("", "journal", "backup", beside); code != exit.OK || !strings.Contains(stderr, beside) {
		t.Fatalf("relay journal backup: exit code %d\n%s", code, stderr)
	}
	p.stop()
	verified()
	if _, stderr, code := w.command("", "journal", "backup", alone); code != exit.OK {
		t.Fatalf("relay journal backup: exit code %d\n%s", code, stderr)
	}
	if _, stderr, code := w.command("", "journal", "backup", alone); code == exit.OK || !strings.Contains(stderr, alone) {
		t.Errorf("a second backup into one folder: exit code %d\n%s", code, stderr)
	}
	want, _, _ := w.command("", "history", "--json")
	for _, copied := range []string{beside, alone} {
		if out, stderr, code := w.command("", "history", "--json", "--data-dir", copied); code != exit.OK || out != want {
			t.Errorf("history of the copy %s: exit code %d\n%s%s", copied, code, out, stderr)
		}
		verified("--data-dir", copied)
	}

	// Restored: the journal is that of the copy, and each sink goes on where it was.
	at := w.data(datadir.JournalDir)
	for _, gone := range []string{datadir.JournalDir, datadir.IndexDir, datadir.CursorsFile} {
		if err := os.RemoveAll(w.data(gone)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(alone, datadir.JournalDir), at); err != nil {
		t.Fatal(err)
	}
	p = w.start()
	w.connected()
	w.sends(10, 12)
	holds(t, "stdout", p.out, 10, 12)
	holds(t, "the webhook", w.bot.lines, 0, 12)
	p.stop()
}

// Imported events appear in the history, are delivered to no sink, and are not journaled again from the provider's history.
func TestJournalImport(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	p.err.find(t, "first comparison with the history")
	w.sends(0, 10)
	holds(t, "stdout", p.out, 0, 10)
	holds(t, "the webhook", w.bot.lines, 0, 10)
	if _, stderr, code := w.command("", "journal", "import", "-"); code != exit.Unavailable || !strings.Contains(stderr, "another relay runs") {
		t.Errorf("beside a relay: exit code %d\n%s", code, stderr)
	}
	p.stop()
	exported, _, _ := w.command("", "export")
	for _, gone := range []string{datadir.JournalDir, datadir.IndexDir, datadir.CursorsFile} {
		if err := os.RemoveAll(w.data(gone)); err != nil {
			t.Fatal(err)
		}
	}
	imported := func(lines, want string) {
		t.Helper()
		if _, stderr, code := w.command(lines, "journal", "import", "-"); code != exit.OK || !strings.Contains(stderr, want) {
			t.Errorf("relay journal import: exit code %d, no word of %q\n%s", code, want, stderr)
		}
	}
	half := strings.Join(strings.SplitAfter(exported, "\n")[:5], "")
	imported(half, "Imported 5 events; 0 were in the journal already.")
	imported(exported, "Imported 5 events; 5 were in the journal already.")
	if out, _, _ := w.command("", "export"); out != exported {
		t.Errorf("exported again:\n%swant:\n%s", out, exported)
	}
	if _, stderr, code := w.command("no event\n", "journal", "import", "-"); code != exit.Failure || !strings.Contains(stderr, "line 1") {
		t.Errorf("import of garbage: exit code %d\n%s", code, stderr)
	}
	p = w.start("--backfill-first-run")
	w.connected()
	w.sends(10, 12)
	holds(t, "stdout", p.out, 10, 12)
	p.stop()
	if got := len(titlesOf(t, w.bot.get())); got != 12 {
		t.Errorf("the webhook got %d events", got)
	}
}
