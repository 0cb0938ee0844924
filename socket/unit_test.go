package socket

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100)
		over := make(chan struct{})
		if !q.offer(item{size: 1000}) {
			t.Error("an empty queue refuses a large event")
		}
		if q.offer(item{size: 1}) {
			t.Error("a full queue takes another")
		}
		put := make(chan struct{})
		go func() {
			defer close(put)
			if !q.wait() {
				t.Error("no news of a jam")
			}
			q.put(over, item{size: 50})
			q.waited()
		}()
		synctest.Wait()
		batch := q.take(t.Context(), nil)
		if len(batch) != 1 {
			t.Errorf("took %d", len(batch))
		}
		select {
		case <-put:
			t.Error("an event that is taken and not done has freed its space")
		default:
		}
		q.done(batch[0])
		<-put
		if q.calm(time.Now()) {
			t.Error("calm at once")
		}
		time.Sleep(time.Minute)
		if !q.calm(time.Now()) || q.calm(time.Now()) {
			t.Error("calm is not told once")
		}
		close(over)
		q.put(over, item{size: 60}) // no room, and nobody waits any longer: not dropped
		q.end()
		if got := q.take(t.Context(), batch); len(got) != 2 || q.left() != 2 {
			t.Errorf("took %d at the end", len(got))
		}
		if got := q.take(t.Context(), nil); got != nil {
			t.Errorf("took %v after the end", got)
		}
	})
}

func TestClean(t *testing.T) {
	s := newScrubber("EIO=3&token=a%2Fb+c%3D", map[string][]string{"token": {"a/b c="}})
	for text, want := range map[string]string{
		"plain":                            "plain",
		"\x1b[31mred\u202e\r\n\u2028x":     "[31mred    x",
		"is a/b c= bad":                    "is [redacted] bad",
		"?EIO=3&token=a%2Fb+c%3D":          "?[redacted]",
		"a%2Fb+c%3D a%2Fb%20c=":            "[redacted] [redacted]",
		"\xff":                             "\ufffd",
		strings.Repeat("é", 101):           strings.Repeat("é", 100) + "...",
		"x" + strings.Repeat("é", 101):     "x" + strings.Repeat("é", 99) + "...",
		strings.Repeat("a/b c=", 1_000_00): strings.Repeat("[redacted]", 20) + "...",
	} {
		if got := s.clean(text); got != want {
			t.Errorf("clean(%.40q) = %q, want %q", text, got, want)
		}
	}
}

// TestEngineNeverPanics has the package panic as it does, and expects an error instead.
func TestEngineNeverPanics(t *testing.T) {
	for _, rev := range []Protocol{EIO3, EIO4} {
		var joined, refused []string
		open := func(next ...notice) *engine {
			e := newEngine(rev, []string{"/", "/x"}, func(string) {}, func(frame) (n notice) {
				n, next = next[0], next[1:]
				return n
			})
			e.onJoin = func(namespace string) { joined = append(joined, namespace) }
			e.onRefuse = func(namespace, text string) { refused = append(refused, namespace+" "+text) }
			if err := e.open("s"); err != nil {
				t.Errorf("open: %v", err)
			}
			return e
		}
		e := open(notice{packetConnect, "/", "a"}, notice{packetDisconnect, "/", ""}, notice{packetDisconnect, "/x", ""})
		for range 3 { // a disconnect of every namespace is what the package closes with a nil error for
			_ = e.receive(frame{kind: frameMessage})
		}
		_ = e.close()
		_ = e.close()
		e = open(notice{packetError, "/x", "go away"}, notice{packetConnect, "/", ""}, notice{packetConnect, "/unknown", "x"})
		for range 3 {
			_ = e.receive(frame{kind: frameMessage})
		}
		_ = e.close()
		if !slices.Equal(joined, []string{"/"}) || len(refused) < 1 || refused[0] != "/x go away" {
			t.Errorf("joined %q, refused %q", joined, refused)
		}
	}
	err := guard("test", func() { panic("boom") })
	if err == nil || !strings.Contains(err.Error(), "boom") || kindOf(err) != kindLost {
		t.Errorf("guard = %v", err)
	}
}

// TestSignals is the proof of what the package comment says: after signal.Reset a signal does its work.
func TestSignals(t *testing.T) {
	const child = "RELAY_TEST_SIGNALS"
	if os.Getenv(child) != "" {
		signal.Reset()
		fmt.Println("ready")
		time.Sleep(time.Minute)
		return
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSignals$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		seen := make([]byte, 0, 256)
		for buf := make([]byte, 64); !bytes.Contains(seen, []byte("ready")); {
			n, err := out.Read(buf)
			if err != nil {
				t.Fatalf("the child said %q: %v", seen, err)
			}
			seen = append(seen, buf[:n]...)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != sig {
			t.Errorf("%v: the child ended with %v", sig, cmd.ProcessState)
		}
	}
}

// FuzzFrame takes WebSocket messages apart, and goes on as a session does.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		opening, "1", "2", "2probe", "3", "6", "40", "40/x,", `42["a"]`, "", "x", "\x00{}", "\x04abc", "\x02", "\xff",
		`0{"sid":"s","pingInterval":-1}`, `0{"sid":"s","pingInterval":9223372036854775807,"pingTimeout":1}`,
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, msg string, binary bool) {
		for _, rev := range []Protocol{EIO3, EIO4} {
			got := parseFrame(rev, binary, []byte(msg))
			if got.kind != 0 && (got.kind < '0' || got.kind > '6') {
				t.Errorf("kind %q", got.kind)
			}
			if len(got.data) > len(msg) || !strings.HasSuffix(msg, string(got.data)) {
				t.Errorf("data %q of %q", got.data, msg)
			}
			if got.kind == frameOpen {
				hs, err := parseHandshake(got.data)
				if err == nil && (hs.sid == "" || hs.pingInterval < 100*time.Millisecond || hs.pingTimeout > time.Hour) {
					t.Errorf("handshake %+v", hs)
				}
			}
		}
	})
}

// FuzzPacket sends a text message and two buffers through a session, engine included.
func FuzzPacket(f *testing.F) {
	for _, seed := range []string{
		"", "2", "3", "0", "1", "4", "5", "6", `2["a",{"b":[1]}]`, `2/x,7["a"]`, `31["a"]`, `0{"sid":"x"}`, "0/x?a=b,", `4"no"`,
		`4{"message":"no"}`, `4/x,"no"`, `52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`,
		`51-/x,3["a",{"_placeholder":true,"num":0}]`, `50-["a"]`, `61-1[]`, `2["\u2028",`, `2["connect"]`, `2[[["a"]]]`,
		`2["a","\\",",","]","\"",{},[],1e9,true,null]`, "1/x", `2 ["a"]`, `59-["a"]`,
	} {
		f.Add(seed, []byte("one"), []byte{0xff})
	}
	f.Fuzz(func(t *testing.T, text string, one, two []byte) {
		for _, rev := range []Protocol{EIO3, EIO4} {
			s := &session{link: &link{rev: rev, handshake: handshake{sid: "s"}}, queue: newQueue(1 << 30), on: hooks{spoken: func(Protocol) {}}}
			s.engine = newEngine(rev, []string{"/", "/x"}, func(string) {}, s.message)
			s.engine.onJoin, s.engine.onRefuse = func(string) {}, func(string, string) {}
			if err := s.engine.open("s"); err != nil {
				t.Fatal(err)
			}
			for _, frame := range []frame{{frameMessage, false, []byte(text)}, {frameMessage, true, one}, {frameMessage, true, two}} {
				// The package may panic, and the guard holds it; nothing of ours may.
				if err := s.engine.receive(frame); err != nil && s.end == nil {
					t.Errorf("receive %q: %v", frame.data, err)
				}
			}
			_ = s.engine.close()
			for _, it := range s.queue.items {
				checkEvent(t, text, it.event, rev)
			}
		}
	})
}

// checkEvent compares an event with what encoding/json makes of the same text.
func checkEvent(t *testing.T, text string, ev Event, rev Protocol) {
	if reserved(ev.Name) || !strings.HasPrefix(ev.Namespace, "/") {
		t.Errorf("%v: event %+v of %q", rev, ev, text)
	}
	for _, arg := range ev.Args {
		if !json.Valid(arg) {
			t.Errorf("%v: argument %q of %q", rev, arg, text)
		}
	}
	if text[0] != packetEvent {
		return
	}
	var want []json.RawMessage
	if err := json.Unmarshal([]byte(text[strings.IndexByte(text, '['):]), &want); err != nil {
		return // a bracket in the namespace
	}
	if !slices.EqualFunc(ev.Args, want[1:], func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		t.Errorf("%v: arguments %q of %q, want %q", rev, ev.Args, text, want[1:])
	}
}

func BenchmarkReceive(b *testing.B) {
	s := &session{link: &link{rev: EIO3, handshake: handshake{sid: "s"}}, queue: newQueue(1 << 30), on: hooks{spoken: func(Protocol) {}}}
	s.engine = newEngine(EIO3, []string{"/"}, func(string) {}, s.message)
	s.engine.onJoin = func(string) {}
	if err := s.engine.open("s"); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.engine.close() }()
	text := []byte(`42["realTimeTreat",{"sender":"GenerousViewer","sender_type":"twitch","receiver":"streamer",` +
		`"receiver_type":"twitch","title":"Pizza","message":"` + base64.StdEncoding.EncodeToString(make([]byte, 150)) +
		`","date_created":"2026-07-16 21:00:00"}]`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var buffer []item
	for b.Loop() {
		if err := s.engine.receive(parseFrame(EIO3, false, text)); err != nil {
			b.Fatal(err)
		}
		buffer = s.queue.take(b.Context(), buffer)
		s.queue.done(buffer[0])
	}
}
