package pipeline

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/journalfiles"
)

var (
	damageSeed   = flag.Uint64("damage.seed", 0, "the seed of the first kind of damage; 0: by the time")
	damageTrials = flag.Int("damage.trials", 60, "how many kinds of damage are tried")
)

// A keptStore is what a stopped relay has left on disk, and what is in it.
type keptStore struct {
	dir     string
	streams map[string]map[uint64]string // by stream and number: subject and content
	floor   uint64                       // of the journal: up to here the sink box has accepted all
}

const overlayReader = "reader"

// newKeptStore journals treats into several blocks, with deletions among them, delivers some of them, and stops.
func newKeptStore(t *testing.T, dir string) *keptStore {
	t.Helper()
	server, err := StartServer(t.Context(), ServerConfig{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	// A bound on its size makes the server use small blocks; relay leaves it as it is.
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: JournalStream, Subjects: []string{journalSubject + "*"}, MaxBytes: 127_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: AttemptStream, Subjects: []string{attemptSubject + "*"}, MaxBytes: 127_000, Compression: jetstream.S2Compression,
	}); err != nil {
		t.Fatal(err)
	}
	for n := range 150 {
		if _, err := js.Publish(t.Context(), attemptSubject+"box", fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, n, strings.Repeat(fmt.Sprint(n), 150))); err != nil {
			t.Fatal(err)
		}
	}
	r := rigOn(t, conn, nil)
	b := &box{}
	l, stop := r.lane(b, LaneConfig{})
	in := r.intake("a")
	r.send(in, 0, 90)
	r.holds(b, "a", wantTitles(0, 90))
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	r.send(in, 90, 150)
	r.eventually(func() error {
		if n := r.kept(); n != 150 {
			return fmt.Errorf("%d events are journaled", n)
		}
		return nil
	})
	stream, err := js.Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 2, 3, 20, 21, 60, 100} {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 8 {
		if err := r.journal.UpdateSink(t.Context(), fmt.Sprintf("sink%d", n%3), func(s *SinkState) { s.Reason = fmt.Sprint("reason ", n) }); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := server.Overlay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ojs, err := jetstream.New(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.CreateStream(t.Context(), jetstream.StreamConfig{Name: OverlayStream, Subjects: []string{OverlaySubjects}}); err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.CreateConsumer(t.Context(), OverlayStream, jetstream.ConsumerConfig{Durable: overlayReader, AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		if _, err := ojs.PublishMsg(t.Context(), &nats.Msg{Subject: "treats.x", Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(n)}}, Data: []byte(`{"id":1}`)}); err != nil {
			t.Fatal(err)
		}
	}
	k := &keptStore{dir: dir, streams: contents(t, js, ojs)}
	info, err := l.cons.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.floor = info.AckFloor.Stream
	overlay.Close()
	r.stop()
	if err := journalfiles.Copy(dir); err != nil { // as the server does every few seconds
		t.Fatal(err)
	}
	server.Close()
	return k
}

// contents reads all streams.
func contents(t *testing.T, journal, overlay jetstream.JetStream) map[string]map[uint64]string {
	t.Helper()
	all := make(map[string]map[uint64]string)
	for name, js := range map[string]jetstream.JetStream{JournalStream: journal, "KV_" + StateBucket: journal, AttemptStream: journal, OverlayStream: overlay} {
		all[name] = make(map[uint64]string)
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatalf("stream %s: %v", name, err)
		}
		for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
			msg, err := stream.GetMsg(t.Context(), seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				t.Fatalf("stream %s: %v", name, err)
			}
			all[name][seq] = fmt.Sprintln(msg.Subject, msg.Header, string(msg.Data))
		}
	}
	return all
}

// copyOf copies the store with the times of its files.
func (k *keptStore) copyOf(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "journal")
	var times []string
	err := filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(k.dir, path)
		times = append(times, rel)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o600)
	})
	for _, rel := range slices.Backward(times) {
		info, statErr := os.Stat(filepath.Join(k.dir, rel))
		err = errors.Join(err, statErr, os.Chtimes(filepath.Join(to, rel), time.Time{}, info.ModTime()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func filesOf(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// said are the numbers that the log names as lost, by stream.
var lostNumbers = regexp.MustCompile(`"stream":"([^"]+)".*"message":"journal: .*\(numbers? (\d+)(?: to (\d+))?`)

func said(log string) map[string]map[uint64]bool {
	all := make(map[string]map[uint64]bool)
	for _, found := range lostNumbers.FindAllStringSubmatch(log, -1) {
		first, _ := strconv.ParseUint(found[2], 10, 64)
		last := first
		if found[3] != "" {
			last, _ = strconv.ParseUint(found[3], 10, 64)
		}
		if all[found[1]] == nil {
			all[found[1]] = make(map[uint64]bool)
		}
		for seq := first; seq <= min(last, first+10000); seq++ {
			all[found[1]][seq] = true
		}
	}
	return all
}

// compare starts a server on the damaged folder and compares what is in it with what was. Every difference must have been said.
func (k *keptStore) compare(t *testing.T, dir, damaged string) {
	t.Helper()
	var log bytes.Buffer
	server, err := StartServer(t.Context(), ServerConfig{Dir: dir, Log: zerolog.New(&log).Level(zerolog.InfoLevel)})
	if err != nil {
		if !strings.Contains(err.Error(), damaged) && !strings.Contains(err.Error(), filepath.Dir(damaged)) {
			t.Errorf("the start is refused without a word on %s: %v\n%s", damaged, err, log.String())
		}
		return
	}
	defer server.Close()
	conn, err := server.Journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	overlay, err := server.Overlay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer overlay.Close()
	js, _ := jetstream.New(conn)
	ojs, _ := jetstream.New(overlay)
	now, lost := contents(t, js, ojs), said(log.String())
	for stream, before := range k.streams {
		for seq, content := range before {
			switch got, there := now[stream][seq]; {
			case there && got != content:
				t.Errorf("%s: number %d is\n%swas\n%s", stream, seq, got, content)
			case !there && !lost[stream][seq]:
				t.Errorf("%s: number %d is gone without a word", stream, seq)
			}
		}
		for seq := range now[stream] {
			if _, was := before[seq]; !was && !strings.Contains(log.String(), "may be there again") && !strings.Contains(log.String(), "what was noted") {
				t.Errorf("%s: number %d is there, which was deleted", stream, seq)
			}
		}
	}
	var want []string
	for _, seq := range slices.Sorted(maps.Keys(now[JournalStream])) {
		if seq > k.floor {
			want = append(want, titleIn(now[JournalStream][seq]))
		}
	}
	r := rigOn(t, conn, nil)
	b := &box{}
	_, stop := r.lane(b, LaneConfig{})
	in := r.intake("b")
	r.send(in, 0, 2) // numbers after those that were used are delivered
	r.holds(b, "b", wantTitles(0, 2))
	if err := stop(true); err != nil {
		t.Error(err)
	}
	if got := b.titles(t, "a"); !slices.Equal(got, want) {
		t.Errorf("the sink got %v, want %v", got, want)
	}
	cons, err := ojs.Consumer(t.Context(), OverlayStream, overlayReader)
	if unsaid := !strings.Contains(log.String(), "consumer "+overlayReader); unsaid && (err != nil || cons.CachedInfo().NumPending != uint64(len(now[OverlayStream]))) {
		t.Errorf("the overlay's cursor: %v", err)
	}
	r.stop()
	if t.Failed() {
		t.Logf("log:\n%s", log.String())
	}
}

var titlePattern = regexp.MustCompile(`"title":"(t\d+)"`)

func titleIn(text string) string { return titlePattern.FindStringSubmatch(text)[1] }

// damage changes one thing on disk, and returns where. Without the seal, as after a crash, only what is changed within a file can be
// told from what may have been so.
func damage(t *testing.T, rng *rand.Rand, dir string, sealed bool) (path, what string) {
	t.Helper()
	if !sealed {
		if err := os.Remove(filepath.Join(dir, "seal")); err != nil {
			t.Fatal(err)
		}
	}
	files := filesOf(t, dir)
	slices.Sort(files)
	path = files[rng.IntN(len(files))]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kind := rng.IntN(10)
	if !sealed {
		kind = 3 + rng.IntN(7)
	}
	switch {
	case kind == 0:
		err, what = os.Remove(path), "removed"
	case kind <= 2 && len(content) > 0:
		size := rng.IntN(len(content))
		content, what = content[:size], fmt.Sprintf("cut from %d to %d bytes", len(content), size)
	case kind == 3 && len(content) > 0:
		from := rng.IntN(len(content))
		until := min(from+1+rng.IntN(2000), len(content))
		clear(content[from:until])
		what = fmt.Sprintf("bytes %d to %d are zero", from, until)
	case len(content) > 0:
		at, bit := rng.IntN(len(content)), rng.IntN(8)
		content[at] ^= 1 << bit
		what = fmt.Sprintf("bit %d of byte %d of %d flipped", bit, at, len(content))
	default:
		content, what = []byte("?"), "a byte added"
	}
	if err == nil && what != "removed" {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, what
}

// Whatever happens to the files of a stopped relay: at its next start every message is there or is named, and each cursor is where
// it was, or relay does not start and names the file.
func TestDamageIsSaid(t *testing.T) {
	k := newKeptStore(t, filepath.Join(t.TempDir(), "journal"))
	for name, messages := range k.streams {
		t.Logf("%s: %d messages", name, len(messages))
	}
	seed := *damageSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	k.compare(t, k.copyOf(t), "nothing")
	for n := range *damageTrials {
		rng := rand.New(rand.NewPCG(seed+uint64(n), 0))
		dir := k.copyOf(t)
		sealed := rng.IntN(3) > 0
		path, what := damage(t, rng, dir, sealed)
		rel, _ := filepath.Rel(dir, path)
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Logf("-damage.seed %d -damage.trials 1: %s %s (sealed: %t)", seed+uint64(n), rel, what, sealed)
			k.compare(t, dir, path)
		})
		if t.Failed() {
			break
		}
	}
}
