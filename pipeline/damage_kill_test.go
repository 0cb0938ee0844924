package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/journalfiles"
)

// underLoadDir says in the child's environment where it is to keep its journal.
const underLoadDir = "RELAY_TEST_UNDER_LOAD"

// A relay that is killed while it journals, delivers, deletes and notes leaves nothing that is taken for damage, and no more than
// interrupted writes.
func TestKilledIsNotDamaged(t *testing.T) {
	if dir := os.Getenv(underLoadDir); dir != "" {
		underLoad(t, dir)
		return
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "journal")
	for n := range 6 {
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), underLoadDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun := false
		for lines := bufio.NewScanner(out); !begun && lines.Scan(); {
			begun = strings.Contains(lines.Text(), "under load")
			if !begun {
				t.Log(lines.Text())
			}
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		killed := cmd.Process.Kill()
		_ = cmd.Wait()
		if !begun || killed != nil {
			t.Fatalf("the child did not get under load, or could not be killed: %v", killed)
		}
		findings, err := journalfiles.Check(t.Context(), journalfiles.Options{
			Dir: dir, Evidence: dir + damagedSuffix,
			Vital: func(_, _, consumer string) bool { return strings.HasPrefix(consumer, lanePrefix) },
		})
		if err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		for _, f := range findings {
			if f.Kind != journalfiles.Torn && f.Kind != journalfiles.Unfinished {
				t.Errorf("round %d: %+v", n, f)
			}
		}
	}
}

// underLoad does all that a relay does with its journal until it is killed.
func underLoad(t *testing.T, dir string) {
	r := newRig(t, dir)
	in := r.intake("a")
	r.lane(&box{}, LaneConfig{})
	r.lane(&box{rule: func(_ context.Context, record Record) error {
		if record.Seq%5 == 0 {
			return Permanent(errors.New("refused"))
		}
		return nil
	}}, LaneConfig{Sink: "picky"})
	fmt.Println("under load")
	for n := int(time.Now().UnixNano() % 1e9); ; n += 50 {
		r.send(in, n, n+50)
		if err := r.journal.UpdateSink(t.Context(), "box", func(s *SinkState) { s.Reason = fmt.Sprint(n) }); err != nil {
			t.Fatal(err)
		}
		stream, err := r.journal.js.Stream(t.Context(), JournalStream)
		if err != nil {
			t.Fatal(err)
		}
		if msg, err := stream.GetLastMsgForSubject(t.Context(), deadSubject+"picky"); err == nil {
			_ = stream.DeleteMsg(t.Context(), msg.Sequence)
		}
	}
}

// A server that cannot seal its files stops all the same, and the next one starts.
func TestNoRoomForTheSeal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	var log bytes.Buffer
	server, err := StartServer(t.Context(), ServerConfig{Dir: dir, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(dir, "seal.relay.tmp")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	server.Close()
	server.Close()
	if !strings.Contains(log.String(), `"level":"warn"`) || !strings.Contains(log.String(), "seal the journal in "+dir) {
		t.Errorf("log: %s", log.String())
	}
	if err := os.Remove(inTheWay); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	newRig(t, dir)
}

// What cannot be mended is said with the file and what to do; what then is done helps.
func TestStartIsRefused(t *testing.T) {
	k := newKeptStore(t, filepath.Join(t.TempDir(), "journal"))
	streams := filepath.Join("jetstream", "JOURNAL", "streams")
	for _, tt := range []struct {
		name   string
		damage []string // what is destroyed, beside the seal
		says   []string
		away   string // what the user moves away
	}{
		{
			"journal",
			[]string{"copies", filepath.Join(streams, JournalStream, "meta.inf")},
			[]string{"meta.inf, the settings of stream RELAY_JOURNAL, is damaged or missing; put it back from a backup, or move the folder", "begins with an empty journal"},
			".",
		},
		{
			"state",
			[]string{"copies", filepath.Join(streams, "KV_RELAY_STATE", "meta.sum")},
			[]string{"the settings of stream KV_RELAY_STATE", "which sinks are disabled"},
			filepath.Join(streams, "KV_RELAY_STATE"),
		},
		{
			"cursor",
			[]string{filepath.Join(streams, JournalStream, "obs", "lane_box", "o.dat")},
			[]string{"o.dat, the cursor of lane_box on stream RELAY_JOURNAL", "lane_box away: sink box then begins with what is sent from now on", "relay replay --sink box --since TIME"},
			filepath.Join(streams, JournalStream, "obs", "lane_box"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := k.copyOf(t)
			for _, rel := range append(tt.damage, "seal") {
				if err := os.WriteFile(filepath.Join(dir, rel), []byte("damaged"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // it stays so
				_, err := StartServer(t.Context(), ServerConfig{Dir: dir, Log: zerolog.Nop()})
				if err == nil {
					t.Fatal("the server starts")
				}
				for _, part := range tt.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not say %q: %v", part, err)
					}
				}
			}
			if err := os.RemoveAll(filepath.Join(dir, tt.away)); err != nil {
				t.Fatal(err)
			}
			r := newRig(t, dir)
			b := &box{}
			_, stop := r.lane(b, LaneConfig{})
			r.send(r.intake("b"), 0, 3)
			r.holds(b, "b", wantTitles(0, 3))
			if err := stop(true); err != nil {
				t.Error(err)
			}
			want := 0
			if tt.name == "state" { // the cursor is not touched
				want = 59
			}
			if got := b.titles(t, "a"); len(got) != want {
				t.Errorf("the sink got %d old treats, want %d: %v", len(got), want, got)
			}
		})
	}
}

// A lane whose settings are lost together with every copy of them goes on where it was.
func TestLaneWithoutSettings(t *testing.T) {
	k := newKeptStore(t, filepath.Join(t.TempDir(), "journal"))
	dir := k.copyOf(t)
	for _, rel := range []string{"seal", "copies"} {
		if err := os.Remove(filepath.Join(dir, rel)); err != nil {
			t.Fatal(err)
		}
	}
	meta := filepath.Join(dir, "jetstream", "JOURNAL", "streams", JournalStream, "obs", "lane_box", "meta.inf")
	if err := os.WriteFile(meta, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, dir)
	b := &box{}
	_, stop := r.lane(b, LaneConfig{})
	want := wantTitles(90, 150)
	want = append(want[:9], want[10:]...) // number 100 was deleted
	r.holds(b, "a", want)
	if err := stop(true); err != nil {
		t.Error(err)
	}
}

// A store that an older relay, or another server, has used since it was sealed is not set back.
func TestStaleSealIsIgnored(t *testing.T) {
	k := newKeptStore(t, filepath.Join(t.TempDir(), "journal"))
	dir := k.copyOf(t)
	seal, err := os.ReadFile(filepath.Join(dir, "seal"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "seal"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, dir)
	b := &box{}
	_, stop := r.lane(b, LaneConfig{})
	r.send(r.intake("b"), 0, 3)
	r.holds(b, "b", wantTitles(0, 3))
	if err := stop(true); err != nil {
		t.Error(err)
	}
	r.stop()
	old := info.ModTime().Add(-time.Minute)
	if err := os.WriteFile(filepath.Join(dir, "seal"), seal, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "seal"), old, old); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, dir)
	b = &box{}
	_, stop = r.lane(b, LaneConfig{})
	r.send(r.intake("c"), 0, 3)
	r.holds(b, "c", wantTitles(0, 3))
	if err := stop(true); err != nil {
		t.Error(err)
	}
	if got := append(b.titles(t, "a"), b.titles(t, "b")...); len(got) > 0 {
		t.Errorf("the sink got again %v", got)
	}
}
