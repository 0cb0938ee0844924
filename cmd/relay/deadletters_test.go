package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Dead letters are listed, shown, redriven and purged with and without a running relay, with either journal engine, and the trace
// of an event shows it.
func TestDeadLetters(t *testing.T) {
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("external %t", external), func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			if external {
				w.onServer(natstest.Start(t).URL())
			}
			w.login()
			w.bot.refuses(title(2))
			p := w.start()
			w.connected()
			w.live.emit(0, 5)
			holds(t, "stdout", p.out, 0, 5)
			p.err.find(t, "dead letter")
			id := events(t, p.out.get())[2].ID

			letters := w.deadLetters("--sink", "bot", "--account", "mystream", "--since", "1h", "--reason", "400")
			if len(letters) != 1 || letters[0].ID != id || !strings.Contains(letters[0].Reason, "400") || string(letters[0].Event) != p.out.get()[2] {
				t.Fatalf("dead letters %+v", letters)
			}
			number := fmt.Sprint(letters[0].Number)
			for _, name := range []string{number, id} {
				var shown journal.DeadLetter
				if err := json.Unmarshal([]byte(w.relay(exit.OK, "deadletters", "show", name, "--json").out.text()), &shown); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(letters[0], shown); diff != "" {
					t.Errorf("show %s (-list +show):\n%s", name, diff)
				}
			}
			if got := w.deadLettersOf("redrive", "--all", "--dry-run"); len(got) != 1 || got[0].ID != id {
				t.Errorf("dry run: %+v", got)
			}
			p.stop()

			if got := w.deadLetters(); len(got) != 1 || got[0].ID != id {
				t.Fatalf("dead letters while relay is stopped: %+v", got)
			}
			if got := w.deadLettersOf("redrive", "--id", number); len(got) != 1 || got[0].ID != id {
				t.Errorf("redrive: %+v", got)
			}
			w.bot.refuses()
			p = w.start()
			w.connected()
			w.awaitEvent(id)
			if got := w.deadLetters(); len(got) > 0 {
				t.Errorf("dead letters after the redrive: %+v", got)
			}

			w.bot.refuses(title(5), title(6))
			w.live.emit(5, 9)
			eventually(t, func() error {
				if n := len(w.deadLetters()); n != 2 {
					return fmt.Errorf("%d dead letters, want 2", n)
				}
				return nil
			})
			w.bot.refuses()
			id = events(t, p.out.get())[0].ID
			w.relay(exit.OK, "deadletters", "redrive", "--id", id)
			w.awaitEvent(id)
			w.relay(exit.OK, "deadletters", "purge", "--limit", "5", "--all")
			if got := w.deadLetters(); len(got) != 0 {
				t.Errorf("dead letters after the purge: %+v", got)
			}
			w.checkRedriveTrace(id)
			p.stop()
			w.checkRedriveTrace(id)
			w.noSecrets(p)
		})
	}
}

// A redrive that is killed repeatedly neither loses nor duplicates an event.
func TestRedriveKilled(t *testing.T) {
	const n = 500
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "bot")
	w.connected()
	w.live.emit(0, n)
	eventually(t, func() error {
		if got := len(w.bot.get()); got < n {
			return fmt.Errorf("%d of %d events arrived", got, n)
		}
		return nil
	})
	p.stop()
	w.makeDeadLetters()
	want := make(map[string]bool)
	for _, d := range w.deadLetters() {
		want[d.ID] = true
	}
	if len(want) != n {
		t.Fatalf("%d dead letters, want %d", len(want), n)
	}
	killed := 0
	for range 3 {
		p := w.start("deadletters", "redrive", "--all", "--json")
		eventually(t, func() error { // in the middle of it
			select {
			case <-p.done:
				return nil
			default:
			}
			if len(p.out.get()) < 50 {
				return errors.New("it redrives nothing")
			}
			return nil
		})
		_ = p.cmd.Process.Kill() // it may have ended
		if p.exit() == -1 {
			killed++
		}
	}
	if killed == 0 {
		t.Error("no redrive was killed")
	}
	w.relay(exit.OK, "deadletters", "redrive", "--all")
	if got := w.deadLetters(); len(got) != 0 {
		t.Errorf("%d dead letters are left", len(got))
	}
	w.bot.refuses()
	p = w.start("--sink", "bot")
	eventually(t, func() error {
		if got := len(w.bot.get()); got < n {
			return fmt.Errorf("%d of %d events arrived", got, n)
		}
		return nil
	})
	p.stop()
	w.bot.mu.Lock()
	defer w.bot.mu.Unlock()
	if len(w.bot.ids) != n {
		t.Errorf("%d deliveries of %d events", len(w.bot.ids), n)
	}
	for _, id := range w.bot.ids {
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("%d events were lost", len(want))
	}
}

// Only the user may connect to the control socket. It exists while relay runs, even with a long data folder path, and is created
// again after a kill.
func TestControlSocket(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	data := w.data()
	long := filepath.Join(w.dir, strings.Repeat("long/", 30))
	if err := os.MkdirAll(filepath.Dir(long), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data, long); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(long, data); err != nil { // for the harness
		t.Fatal(err)
	}
	socket := filepath.Join(long, api.Socket)
	p := w.start("--sink", "console", "--data-dir", long)
	w.connected()
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v (%v)", info.Mode(), err)
	}
	if got := w.deadLetters("--data-dir", long); len(got) > 0 {
		t.Errorf("dead letters %+v", got)
	}
	p.signal(syscall.SIGKILL)
	p.exit()
	if _, err := os.Stat(socket); err != nil {
		t.Fatal(err) // it is a stale one now
	}
	w.relay(exit.OK, "deadletters", "list", "--data-dir", long)
	p = w.start("--sink", "console", "--data-dir", long)
	w.connected()
	w.relay(exit.OK, "deadletters", "list", "--data-dir", long)
	p.stop()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(long, ".control-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// A command that cannot reach the journal says why, and what to do.
func TestJournalUnreachable(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	if text := w.relay(exit.Unavailable, "deadletters", "list").err.text(); !strings.Contains(text, "there is no journal yet") {
		t.Errorf("before the first run: %s", text)
	}
	if _, err := os.Stat(w.data()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the command makes the data folder")
	}
	server := natstest.Start(t)
	w.onServer(withLogin(t, server.URL(), "u", "hunter2"))
	if text := w.relay(exit.Unavailable, "trace", "trt_1").err.text(); !strings.Contains(text, "there is no journal yet") {
		t.Errorf("on an empty server: %s", text)
	}
	server.Kill()
	text := w.relay(exit.Unavailable, "trace", "trt_1").err.text()
	if !strings.Contains(text, "journal.nats_url") || strings.Contains(text, "hunter2") {
		t.Errorf("without its server: %s", text)
	}
}

// Without a running relay, commands wait for each other and for a process that locks the folder, up to a limit.
func TestConcurrentCommands(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	p.stop()
	var all []*process
	for range 4 {
		all = append(all, w.start("deadletters", "list"))
	}
	for _, p := range all {
		if code := p.exit(); code != exit.OK {
			t.Errorf("exit code %d:\n%s", code, p.err.text())
		}
	}
	lock, err := datadir.Lock(t.Context(), w.data())
	if err != nil {
		t.Fatal(err)
	}
	text := w.relay(exit.Unavailable, "deadletters", "list").err.text()
	if !strings.Contains(text, "relay holds the folder and does not answer") {
		t.Errorf("stderr: %s", text)
	}
	p = w.start("--sink", "console") // relay waits for a command too
	time.Sleep(500 * time.Millisecond)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	w.connected()
	w.relay(exit.OK, "deadletters", "list")
	p.stop()
}
