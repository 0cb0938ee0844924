package journalfiles_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/journalfiles"
	"github.com/treatrelay/relay/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.Leaks()...) }

// open runs a real server on the folder until stop is called.
func open(t testing.TB, dir string) (js jetstream.JetStream, stop func()) {
	t.Helper()
	ns, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		t.Fatal(err)
	}
	if js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return js, func() {
		nc.Close()
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

func publish(t testing.TB, js jetstream.JetStream, subject string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		msg := nats.NewMsg(subject)
		msg.Header.Set("Nats-Msg-Id", fmt.Sprint("id", n))
		msg.Data = []byte(`{"n":` + fmt.Sprint(n) + `,"text":"` + strings.Repeat("x", 400) + `"}`)
		if _, err := js.PublishMsgAsync(msg); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

// packed has the messages of a stream with compression, in full blocks but for the last, and returns the first of these.
func packed(t testing.TB, dir string) (block string) {
	t.Helper()
	js, stop := open(t, dir)
	stream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, MaxBytes: 127_000, Compression: jetstream.S2Compression})
	publish(t, js, "s.a", 0, 150)
	stop()
	block = filepath.Join(dir, "jetstream", "$G", "streams", "S", "msgs", "1.blk")
	if content, err := os.ReadFile(block); err != nil || !strings.HasPrefix(string(content), "cmp") {
		t.Fatalf("the block is not compressed: %v", err)
	}
	return block
}

func check(t testing.TB, dir string) ([]journalfiles.Finding, error) {
	t.Helper()
	return journalfiles.Check(t.Context(), journalfiles.Options{Dir: dir, Evidence: dir + "-damaged", Vital: func(_, _, consumer string) bool { return consumer == "vital" }})
}

func stream(t testing.TB, js jetstream.JetStream, cfg jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	s, err := js.CreateOrUpdateStream(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Everything that a server does to its files by itself is no damage: several blocks, deletions, expiry, purges, compaction, limits,
// keys that are written again and again, consumers of all kinds, with the seal and without.
func TestIntactStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	for round := range 4 {
		js, stop := open(t, dir)
		small := stream(t, js, jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"small.*"}, MaxBytes: 100_000})
		publish(t, js, "small.a", 0, 300) // more than it keeps
		aged := stream(t, js, jetstream.StreamConfig{Name: "AGED", Subjects: []string{"aged.>"}, MaxAge: 100 * time.Millisecond, Duplicates: 100 * time.Millisecond})
		publish(t, js, "aged.a.b", 0, 50)
		deleted := stream(t, js, jetstream.StreamConfig{Name: "DELETED", Subjects: []string{"deleted.*"}, MaxBytes: 125_000})
		publish(t, js, "deleted.a", 0, 120)
		publish(t, js, "deleted.b", 0, 60)
		info, err := deleted.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seq := info.State.LastSeq - 150; seq <= info.State.LastSeq; seq += 2 {
			if seq%8 == 0 {
				err = deleted.SecureDeleteMsg(t.Context(), seq)
			} else {
				err = deleted.DeleteMsg(t.Context(), seq)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := deleted.Purge(t.Context(), jetstream.WithPurgeSubject("deleted.b")); err != nil {
			t.Fatal(err)
		}
		if round == 2 {
			if err := small.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			for count := uint64(1); count > 0; time.Sleep(20 * time.Millisecond) {
				info, err := aged.Info(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				count = info.State.Msgs
			}
		}
		stream(t, js, jetstream.StreamConfig{Name: "PACKED", Subjects: []string{"packed.*"}, MaxBytes: 127_000, Compression: jetstream.S2Compression})
		publish(t, js, "packed.a", 150*round, 150*round+150)
		kv, err := js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "KEYS", History: 1})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 60 {
			if _, err := kv.Put(t.Context(), fmt.Sprintf("key.%d", n%5), []byte(`{"n":1}`)); err != nil {
				t.Fatal(err)
			}
		}
		if err := kv.Delete(t.Context(), "key.3"); err != nil {
			t.Fatal(err)
		}
		for _, policy := range []jetstream.AckPolicy{jetstream.AckExplicitPolicy, jetstream.AckAllPolicy, jetstream.AckNonePolicy} {
			cons, err := deleted.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "c" + fmt.Sprint(int(policy)), AckPolicy: policy})
			if err != nil {
				t.Fatal(err)
			}
			batch, err := cons.FetchNoWait(20)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for msg := range batch.Messages() {
				if n++; policy != jetstream.AckNonePolicy && n%3 > 0 {
					if err := msg.DoubleAck(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		stop()
		for _, left := range []string{"seal.relay.tmp", "SMALL/meta.inf.tmp", "SMALL/_test_123", "SMALL/msgs/1.blk.tmp", "SMALL/msgs/9.new", "SMALL/msgs/1.blk.relay.tmp", "SMALL/obs/.c"} {
			path := filepath.Join(dir, "jetstream", "$G", "streams", left) // as a crash leaves them
			if err := os.WriteFile(path, []byte("half writ"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if round%2 == 0 {
			if err := journalfiles.Seal(dir); err != nil {
				t.Fatal(err)
			}
		}
		if findings, err := check(t, dir); err != nil || len(findings) > 0 {
			t.Errorf("round %d: %+v, %v", round, findings, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "seal")); !os.IsNotExist(err) {
			t.Errorf("the seal is still there: %v", err)
		}
		if err := journalfiles.Copy(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// A record that a crash has cut, wherever, is taken out and named, and everything before it stays.
func TestTornTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	js, stop := open(t, dir)
	stream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}})
	publish(t, js, "s.a", 0, 5)
	stop()
	folder := filepath.Join(dir, "jetstream", "$G", "streams", "S", "msgs")
	if err := os.Remove(filepath.Join(folder, "index.db")); err != nil { // a crash leaves none, or an old one
		t.Fatal(err)
	}
	path := filepath.Join(folder, "1.blk")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := len(whole) / 5
	for cut := 4 * size; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		findings, err := check(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		clean := cut == 4*size && len(findings) == 0
		torn := len(findings) == 1 && findings[0].Kind == journalfiles.Torn && findings[0].First == 5
		if string(left) != string(whole[:4*size]) || !clean && !torn {
			t.Fatalf("cut at %d: %d bytes are left of %d: %+v", cut, len(left), 4*size, findings)
		}
		if again, err := check(t, dir); err != nil || len(again) > 0 {
			t.Fatalf("cut at %d: said again: %+v, %v", cut, again, err)
		}
	}
	js, stop = open(t, dir)
	defer stop()
	publish(t, js, "s.b", 5, 6)
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if state := s.CachedInfo().State; state.Msgs != 5 || state.LastSeq != 5 {
		t.Errorf("the stream goes on at %+v", state)
	}
}

// The check says of damaged records what can be known, and the server takes what is left.
func TestDamagedRecords(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(block []byte, size int) []byte
		want   string
		left   uint64
	}{
		{"payload", func(b []byte, size int) []byte { b[3*size+200] ^= 1; return b }, "lost 4-4 s.a", 9},
		{"two in a row", func(b []byte, size int) []byte { b[3*size+200] ^= 1; b[5*size-1] ^= 1; return b }, "lost 4-5 s.a", 8},
		{"two apart", func(b []byte, size int) []byte { b[3*size+200] ^= 1; b[7*size+200] ^= 1; return b }, "lost 4-4 s.a; lost 8-8 s.a", 8},
		{"subject", func(b []byte, size int) []byte { b[3*size+22] ^= 1; return b }, "lost 4-4", 9},
		{"number", func(b []byte, size int) []byte { b[3*size+4] ^= 0x80; return b }, "lost 4-4 s.a", 9},
		{"length", func(b []byte, size int) []byte { b[3*size+1] ^= 4; return b }, "mended 4-4", 10},
		{"length of the subject", func(b []byte, size int) []byte { b[3*size+20] ^= 1; return b }, "mended 4-4", 10},
		{"length of the headers", func(b []byte, size int) []byte { b[3*size+25] ^= 2; return b }, "mended 4-4", 10},
		{"first", func(b []byte, _ int) []byte { b[200] ^= 1; return b }, "lost 1-1 s.a", 9},
		{"last", func(b []byte, _ int) []byte { b[len(b)-1] ^= 1; return b }, "lost 10-10 s.a", 9},
		{"everything", func(b []byte, _ int) []byte { return make([]byte, len(b)) }, "lost 1-10", 0},
		{"gone", func([]byte, int) []byte { return nil }, "lost 1-10", 0},
		{"cut", func(b []byte, size int) []byte { return b[:6*size+100] }, "lost 7-10 s.a", 6},
		{"longer", func(b []byte, _ int) []byte { return append(b, "and more"...) }, "junk 0-0", 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			js, stop := open(t, dir)
			stream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}})
			publish(t, js, "s.a", 0, 10)
			stop()
			if err := journalfiles.Seal(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "jetstream", "$G", "streams", "S", "msgs", "1.blk")
			block, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			damaged := tt.damage(slices.Clone(block), len(block)/10)
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			findings, err := check(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				got = append(got, strings.TrimSpace(fmt.Sprint(kinds[f.Kind], " ", f.First, "-", f.Last, " ", f.Subject)))
				if kept, err := os.ReadFile(f.Kept); len(damaged) > 0 && (err != nil || !slices.Equal(kept, damaged)) {
					t.Errorf("the damaged file is not kept in %q: %v", f.Kept, err)
				}
				if age := time.Since(f.Time); f.Kind == journalfiles.Lost && f.Subject != "" && f.First == f.Last && tt.name != "number" && (age < 0 || age > time.Minute) {
					t.Errorf("it was received %v", f.Time)
				}
			}
			if text := strings.Join(got, "; "); text != tt.want {
				t.Errorf("got %s, want %s", text, tt.want)
			}
			js, stop = open(t, dir)
			defer stop()
			publish(t, js, "s.b", 10, 11)
			s, err := js.Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if state := s.CachedInfo().State; state.Msgs != tt.left+1 || state.LastSeq != 11 {
				t.Errorf("the stream goes on with %d messages at number %d", state.Msgs, state.LastSeq)
			}
		})
	}
}

// Damage to a compressed block costs the messages that cannot be unpacked any more, and these are named.
func TestDamagedCompressedBlock(t *testing.T) {
	base := filepath.Join(t.TempDir(), "store")
	path := packed(t, base)
	if err := journalfiles.Seal(base); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 1 + at/12 {
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		block := slices.Clone(whole)
		block[at] ^= 0x10
		if err := os.WriteFile(filepath.Join(dir, "jetstream", "$G", "streams", "S", "msgs", "1.blk"), block, 0o600); err != nil {
			t.Fatal(err)
		}
		findings, err := check(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		lost := map[uint64]bool{}
		for _, f := range findings {
			for seq := f.First; seq <= f.Last && f.Kind == journalfiles.Lost; seq++ {
				lost[seq] = true
			}
		}
		js, stop := open(t, dir)
		s, err := js.Stream(t.Context(), "S")
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if state := s.CachedInfo().State; int(state.Msgs)+len(lost) != 150 || state.LastSeq != 150 {
			t.Errorf("byte %d of %d: %d messages are there up to number %d, %d are said to be lost: %+v", at, len(whole), state.Msgs, state.LastSeq, len(lost), findings)
		}
		stop()
	}
}

// Settings that a crash has left half written, at each of the two steps, with copies and without, are no damage: whoever uses them
// makes them anew, and goes on where it was.
func TestUnfinishedSettings(t *testing.T) {
	for _, first := range []bool{true, false} { // whether the settings are the first ones
		for _, copies := range []bool{true, false} {
			if first && copies {
				continue // the copies hold whole settings only
			}
			t.Run(fmt.Sprint("first=", first, " copies=", copies), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "store")
				js, stop := open(t, dir)
				s := stream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}})
				publish(t, js, "s.a", 0, 5)
				settings := jetstream.ConsumerConfig{Durable: "vital", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1, AckWait: time.Minute}
				cons, err := s.CreateOrUpdateConsumer(t.Context(), settings)
				if err != nil {
					t.Fatal(err)
				}
				read(t, cons, 2)
				if copies {
					if err := journalfiles.Copy(dir); err != nil {
						t.Fatal(err)
					}
				}
				sum := filepath.Join(dir, "jetstream", "$G", "streams", "S", "obs", "vital", "meta.sum")
				old, err := os.ReadFile(sum)
				if err != nil {
					t.Fatal(err)
				}
				settings.AckWait = time.Hour
				if _, err := s.CreateOrUpdateConsumer(t.Context(), settings); err != nil {
					t.Fatal(err)
				}
				stop()
				if first {
					err = os.Remove(sum)
				} else {
					err = os.WriteFile(sum, old, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				findings, err := check(t, dir)
				if err != nil || len(findings) != 1 || findings[0].Kind != journalfiles.Unfinished || findings[0].Consumer != "vital" {
					t.Fatalf("found %+v, %v", findings, err)
				}
				if again, err := check(t, dir); err != nil || len(again) > 0 {
					t.Fatalf("said again: %+v, %v", again, err)
				}
				js, stop = open(t, dir)
				defer stop()
				if cons, err = js.CreateOrUpdateConsumer(t.Context(), "S", settings); err != nil {
					t.Fatal(err)
				}
				if next := read(t, cons, 1); next != 3 {
					t.Errorf("it goes on at number %d, want 3", next)
				}
			})
		}
	}
}

// read takes n messages, acknowledges them, and returns the number of the last.
func read(t testing.TB, cons jetstream.Consumer, n int) (last uint64) {
	t.Helper()
	for range n {
		msg, err := cons.Next()
		if err != nil {
			t.Fatal(err)
		}
		about, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		last = about.Sequence.Stream
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// kinds of findings, in words.
var kinds = map[journalfiles.Kind]string{
	journalfiles.Lost: "lost", journalfiles.Mended: "mended", journalfiles.Junk: "junk", journalfiles.DeletionLost: "note lost",
}
