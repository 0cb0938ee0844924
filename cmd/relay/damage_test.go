package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treatrelay/relay/pipeline"
)

// spoil changes a file of the data folder while relay does not run.
func (w *world) spoil(change func([]byte) []byte, path ...string) string {
	w.t.Helper()
	file := filepath.Join(append([]string{w.dir, "data"}, path...)...)
	content, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, change(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func journalFile(of ...string) []string {
	return append([]string{journalDir, "jetstream", "JOURNAL", "streams", pipeline.JournalStream}, of...)
}

// An event that is damaged on disk is named, comes back from the provider's history, and costs no other event anything.
func TestDamagedEventIsHealed(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	p.err.find(t, "first look at the history")
	w.sends(0, 20)
	holds(t, "the webhook", w.bot.lines, 0, 20)
	holds(t, "stdout", p.out, 0, 20)
	p.stop()

	block := w.spoil(func(content []byte) []byte {
		return bytes.Replace(content, []byte(`"title":"`+title(7)), []byte(`"title":"`+"Pizzb 00oo7"), 1)
	}, journalFile("msgs", "1.blk")...)
	p = w.start()
	w.connected()
	line := p.err.find(t, "1 event (number ")
	for _, part := range []string{`"level":"error"`, "account mystream, received 20", "damaged and taken out", "journaled again", block, journalDir + "-damaged"} {
		if !strings.Contains(line, part) {
			t.Errorf("the log does not say %s: %s", part, line)
		}
	}
	holds(t, "stdout", p.out, 7, 8)
	if e := events(t, p.out.get())[0]; e.Origin != pipeline.OriginBackfill || e.ID != events(t, w.bot.lines.get())[7].ID {
		t.Errorf("it came back with origin %s and id %s", e.Origin, e.ID)
	}
	w.sends(20, 25)
	p.err.find(t, "history")
	p.out.find(t, title(24))
	p.stop()
	if got := titlesOf(t, p.out.get()); len(got) != 6 {
		t.Errorf("stdout got %v", got)
	}
	w.noSecrets(p)

	w.spoil(func([]byte) []byte { return []byte("{}") }, journalFile("meta.inf")...)
	w.spoil(func([]byte) []byte { return nil }, journalFile("obs", "lane_bot", "o.dat")...)
	p = w.start()
	w.connected()
	if restored := p.err.find(t, "meta.inf"); !strings.Contains(restored, "restored from its copy") {
		t.Errorf("log: %s", restored)
	}
	p.err.find(t, filepath.Join("lane_bot", "o.dat"))
	w.sends(25, 26)
	holds(t, "stdout", p.out, 25, 26)
	p.stop()
	if got := titlesOf(t, w.bot.get()); len(got) != 27 { // each once, and number 7 twice
		t.Errorf("the webhook got %v", got)
	}
}

// What relay cannot mend keeps it from starting, with the file and the way out.
func TestDamageThatIsNotMended(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	p.err.find(t, "first look at the history")
	w.sends(0, 3)
	holds(t, "stdout", p.out, 0, 3)
	p.stop()
	garbage := func([]byte) []byte { return []byte("destroyed") }
	overlay := w.spoil(func(content []byte) []byte { return bytes.ToLower(content) }, overlayFile)
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
	refused(exitFailure, overlay+" is damaged; delete it to have new ones made")
	if err := os.Remove(overlay); err != nil {
		t.Fatal(err)
	}
	account := w.spoil(garbage, accountsDir, "mystream.json")
	refused(exitUnauthorized, account, "damaged", "relay auth login mystream")
	w.login()
	for _, file := range []string{"seal", "copies"} {
		if err := os.RemoveAll(filepath.Join(w.dir, "data", journalDir, file)); err != nil {
			t.Fatal(err)
		}
	}
	meta := w.spoil(garbage, journalFile("meta.inf")...)
	refused(exitUnavailable, meta, "is damaged or missing; put it back from a backup, or move the folder "+filepath.Join(w.dir, "data", journalDir)+" away")
	if out, stderr, code := w.command("", "history"); code != exitUnavailable || out != "" || !strings.Contains(stderr, meta) {
		t.Errorf("relay history: exit code %d, %q\n%s", code, out, stderr)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "data", journalDir)); err != nil {
		t.Fatal(err)
	}
	p = w.start()
	w.connected()
	p.err.find(t, "first look at the history")
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
	refused(exitUnavailable, w.identity, "put it back from a backup", "relay auth login")
}
