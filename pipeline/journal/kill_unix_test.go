//go:build unix

package journal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

const killedDir = "RELAY_TEST_KILLED_DIR"

// TestKilledChild is the process that TestJournalOutlivesKills kills. It says on stdout what is on disk.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		t.Skip("it is the child of another test")
	}
	r := newRig(t, dir)
	said := os.NewFile(3, "said")
	say := func(what string, of any, err error) {
		if err == nil {
			_, err = fmt.Fprintln(said, what, of)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, next := r.Journal.Bounds()
	for n := int(next); ; n++ {
		e := stacktest.Event("acc", pipeline.OriginLive, time.Now(), n)
		item := treatItem(t, &e)
		item.Done = func(_ uint64, err error) { say("event", e.ID, err) }
		if err := r.Journal.Enqueue(t.Context(), item); err != nil {
			t.Fatal(err)
		}
		if n%5 > 0 {
			continue
		}
		_, number := r.put("acc", pipeline.OriginLive, time.Now(), -n)
		refused := r.record(number)
		say("dead", refused.ID, r.Journal.KeepDeadLetter(t.Context(), "bot", "no", 1, refused))
		if n%10 > 0 {
			continue
		}
		d := r.letters(1, journal.DeadLetterFilter{IDs: []string{refused.ID}})[0]
		if n%20 > 0 {
			say("redriven", refused.ID, r.Journal.Redrive(t.Context(), d))
		} else {
			say("purged", refused.ID, r.Journal.DeleteDeadLetter(t.Context(), d))
		}
	}
}

// A relay that is killed at whatever moment leaves each thing that it said to be on disk there once.
func TestJournalOutlivesKills(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	is := make(map[string]map[string]bool)
	for round := range 10 {
		runAndKill(t, binary, dir, 40+round*30, func(what, id string) {
			if is[what] == nil {
				is[what] = make(map[string]bool)
			}
			is[what][id] = true
		})
	}
	r := newRig(t, dir)
	seen := make(map[string]int)
	for _, rec := range r.records() {
		seen[fmt.Sprint(rec.Kind, rec.ID)]++
		if rec.Kind == journal.Treat {
			delete(is["event"], rec.ID)
		}
	}
	for what, n := range seen {
		if n > 1 {
			t.Errorf("%s is in the journal %d times", what, n)
		}
	}
	if len(is["event"]) > 0 || len(seen) < 100 {
		t.Errorf("%d events were said to be on disk and are not; the journal has %d entries", len(is["event"]), len(seen))
	}
	redriven := make(map[string]bool)
	for _, rec := range r.resent("bot") {
		redriven[rec.ID] = true
	}
	left := make(map[string]bool)
	for d, err := range r.Journal.DeadLetters(t.Context(), journal.DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if left[d.ID] || redriven[d.ID] || is["purged"][d.ID] || is["redriven"][d.ID] {
			t.Errorf("dead letter of %s is still there, or twice", d.ID)
		}
		left[d.ID] = true
	}
	// What was said to be kept and is gone was redriven or purged, in at most the last step of a process.
	unsaid := 0
	for id := range is["dead"] {
		if !left[id] && !redriven[id] && !is["purged"][id] {
			unsaid++
		}
	}
	if unsaid > 10 {
		t.Errorf("%d dead letters are gone", unsaid)
	}
}

// runAndKill runs the child until it has said so many lines, and kills it.
func runAndKill(t *testing.T, binary, dir string, lines int, said func(what, id string)) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^TestKilledChild$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), killedDir+"="+filepath.Clean(dir))
	cmd.ExtraFiles = []*os.File{pw}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := errors.Join(cmd.Start(), pw.Close()); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(pr)
	n := 0
	for scanner.Scan() {
		if what, id, ok := strings.Cut(scanner.Text(), " "); ok {
			said(what, id)
		}
		if n++; n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || n < lines {
		t.Fatalf("the child ended by itself after %d lines: %v\n%s", n, err, out.String())
	}
}
