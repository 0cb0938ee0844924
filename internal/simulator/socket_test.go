package simulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// peer is a client of the socket, written by hand: it reads and writes bare packets.
type peer struct {
	*testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, s *Server, eio, token string) peer {
	t.Helper()
	target := strings.Replace(s.Endpoints().Socket, "http", "ws", 1) + "socket.io/?transport=websocket&EIO=" + eio +
		"&token=" + url.QueryEscape(token)
	conn, _, err := websocket.Dial(t.Context(), target, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return peer{t, conn}
}

// connect logs in and opens a socket, as far as the packet that lets it in.
func connect(t *testing.T, s *Server) peer {
	t.Helper()
	c := browser(t)
	access := grant(t, c, s)
	p := dial(t, s, "3", ticket(t, c, s, access))
	p.handshake()
	p.expect("40")
	return p
}

func (p peer) next() (string, error) {
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	_, b, err := p.conn.Read(ctx)
	return string(b), err
}

func (p peer) expect(packet string) {
	p.Helper()
	if got, err := p.next(); err != nil || got != packet {
		p.Fatalf("the socket says %q (%v), want %q", got, err, packet)
	}
}

func (p peer) say(packet string) {
	p.Helper()
	if err := p.conn.Write(p.Context(), websocket.MessageText, []byte(packet)); err != nil {
		p.Fatal(err)
	}
}

func (p peer) handshake() (h struct {
	SID          string
	Upgrades     []string
	PingInterval int
	PingTimeout  int
},
) {
	p.Helper()
	packet, err := p.next()
	rest, ok := strings.CutPrefix(packet, "0")
	if err != nil || !ok || json.Unmarshal([]byte(rest), &h) != nil || h.SID == "" || h.Upgrades == nil {
		p.Fatalf("the handshake is %q (%v)", packet, err)
	}
	return h
}

func (p peer) expectCut() {
	p.Helper()
	for {
		packet, err := p.next()
		if err == nil {
			p.Logf("before the cut: %q", packet)
			continue
		}
		if websocket.CloseStatus(err) != -1 || p.Context().Err() != nil {
			p.Errorf("the socket ended with %v, want an abrupt end", err)
		}
		return
	}
}

// treat is the treat of an event packet.
func (p peer) treat() (t Treat) {
	p.Helper()
	packet, err := p.next()
	var args []json.RawMessage
	if err == nil {
		err = json.Unmarshal([]byte(strings.TrimPrefix(packet, "42")), &args)
	}
	if err != nil || len(args) != 2 || string(args[0]) != `"realTimeTreat"` {
		p.Fatalf("the socket says %q (%v), want an event", packet, err)
	}
	if err := json.Unmarshal(args[1], &t); err != nil {
		p.Fatal(err)
	}
	return t
}

func TestSocketRevision3(t *testing.T) {
	s := start(t, Config{PingInterval: 25 * time.Second, PingTimeout: 60 * time.Second})
	c := browser(t)
	access := grant(t, c, s)
	token := ticket(t, c, s, access)
	p := dial(t, s, "3", token)
	if h := p.handshake(); h.PingInterval != 25000 || h.PingTimeout != 60000 {
		t.Errorf("the handshake is %+v", h)
	}
	p.expect("40")
	for _, tc := range []struct{ say, expect string }{
		{"2", "3"},
		{"2probe", "3probe"},
		{"40/other,", `44/other,"Invalid namespace"`},
		{`42["hello",{}]`, ""},
		{"40", ""},
		{"40/?token=x", ""},
		{"4", ""},
		{"", ""},
		{"6", ""},
		{"x", ""},
		{"2", "3"},
	} {
		p.say(tc.say)
		if tc.expect != "" {
			p.expect(tc.expect)
		}
	}
	if err := p.conn.Write(t.Context(), websocket.MessageBinary, []byte{4, 0xff}); err != nil {
		t.Fatal(err)
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("Connections = %d, want 1", n)
	}

	sent := Treat{Sender: "", SenderType: "user", Title: "Pizza 🍕", Message: new("\u2028 <b> & \"\\ نور e\u0301")}
	if n, err := s.Emit(sent); n != 1 || err != nil {
		t.Errorf("Emit = %d, %v", n, err)
	}
	if diff := cmp.Diff(s.Emitted()[0], p.treat()); diff != "" {
		t.Errorf("the treat on the wire (-emitted +received):\n%s", diff)
	}
	s.EmitRaw(json.RawMessage(`{broken`))
	p.expect(`42["realTimeTreat",{broken]`)
	s.EmitRaw(nil)
	p.expect(`42["realTimeTreat"]`)

	used := dial(t, s, "3", token)
	used.handshake()
	used.expect(`44"Authentication error"`)
	used.say("2")
	used.expect("3") // It keeps its connection, but gets no treats.
	if n, _ := s.Emit(sent); n != 1 {
		t.Errorf("the treat went to %d sockets, want 1", n)
	}
	p.treat()
	p.say("41")
	p.say("2")
	p.expect("3")
	if n, _ := s.Emit(sent); n != 0 {
		t.Errorf("the treat went to %d sockets after the client left", n)
	}
	p.say("1")
	p.expectCut()
	if got := s.Stats(); got.Connections != 1 || got.Refused != 1 || got.SocketToken != 1 {
		t.Errorf("Stats = %+v", got)
	}
}

func TestSocketRevision4(t *testing.T) {
	s := start(t, Config{AllowEIO4: true, PingInterval: 50 * time.Millisecond, PingTimeout: 20 * time.Second})
	c := browser(t)
	access := grant(t, c, s)
	p := dial(t, s, "4", ticket(t, c, s, access))
	p.handshake()
	p.say("40")
	skip := func(p peer) string {
		for {
			packet, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			if packet != "2" {
				return packet
			}
			p.say("3")
		}
	}
	if got := skip(p); !strings.HasPrefix(got, `40{"sid":"`) {
		t.Errorf("the socket says %q, want a connect packet", got)
	}
	for range 3 {
		p.expect("2")
		p.say("3")
	}
	s.EmitRaw(json.RawMessage(`1`))
	if got := skip(p); got != `42["realTimeTreat",1]` {
		t.Errorf("the socket says %q", got)
	}
	bad := dial(t, s, "4", "guess")
	bad.handshake()
	bad.say("40{}")
	if got := skip(bad); got != `44{"message":"Authentication error"}` {
		t.Errorf("the socket says %q", got)
	}

	// Without the permission it is a server of Socket.IO 1.x and 2.x, whatever the client asks for.
	plain := start(t, Config{})
	access = grant(t, c, plain)
	p = dial(t, plain, "4", ticket(t, c, plain, access))
	p.handshake()
	p.expect("40")
}

func TestSilentClientIsCut(t *testing.T) {
	s := start(t, Config{PingInterval: 20 * time.Millisecond, PingTimeout: 20 * time.Millisecond})
	connect(t, s).expectCut()
	for s.Connections() != 0 { // The cut is seen a moment before it is counted.
		time.Sleep(time.Millisecond)
	}
}

func TestDropConnections(t *testing.T) {
	s := start(t, Config{})
	a, b := connect(t, s), connect(t, s)
	s.DropConnections()
	if n := s.Connections(); n != 0 {
		t.Errorf("Connections = %d right after the drop", n)
	}
	a.expectCut()
	b.expectCut()
	if n, err := s.Emit(Treat{Title: "Tacos"}); n != 0 || err != nil {
		t.Errorf("Emit to nobody = %d, %v", n, err)
	}
	if n := len(s.Emitted()); n != 1 {
		t.Errorf("%d treats are in the history, want 1", n)
	}
}

func TestStuckClientHoldsNobodyForEver(t *testing.T) {
	s := start(t, Config{})
	connect(t, s)
	done := make(chan struct{})
	go func() { // It reads nothing, so that the kernel's buffers fill and Emit waits.
		defer close(done)
		payload := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
		for s.Connections() > 0 {
			s.EmitRaw(payload)
		}
	}()
	time.Sleep(50 * time.Millisecond)
	s.DropConnections()
	<-done
}

func TestEndlessMessageIsCut(t *testing.T) {
	s := start(t, Config{})
	p := connect(t, s)
	p.say("4" + strings.Repeat("2", maxBody+1))
	for {
		if _, err := p.next(); err != nil {
			break
		}
	}
}

func TestHandshakeRefuses(t *testing.T) {
	s, c := start(t, Config{}), browser(t)
	base := s.Endpoints().Socket + "socket.io/?EIO=3"
	for _, tc := range []struct {
		what, method, query, body string
		status                    int
	}{
		{"no transport", "GET", "", "", 400},
		{"a bare GET for a WebSocket", "GET", "&transport=websocket", "", http.StatusUpgradeRequired},
		{"an upgrade of no session", "GET", "&transport=websocket&sid=x", "", 400},
		{"POST for a WebSocket", "POST", "&transport=websocket", "", 400},
		{"an unknown session", "GET", "&transport=polling&sid=x", "", 400},
		{"a POST to no session", "POST", "&transport=polling", "1:2", 400},
	} {
		if a := do(t, c, tc.method, base+tc.query, "", tc.body); a.status != tc.status {
			t.Errorf("%s answered %d %s, want %d", tc.what, a.status, a.body, tc.status)
		}
	}
}

func TestHistory(t *testing.T) {
	s, c := start(t, Config{Receiver: "Me"}), browser(t)
	access := grant(t, c, s)
	if a := get(t, c, s.Endpoints().History+"/"+access); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("the empty history is %s", a.body)
	}
	for _, title := range []string{"one", "two", "three"} {
		if _, err := s.Emit(Treat{Sender: "A", SenderType: "user", Title: title}); err != nil {
			t.Fatal(err)
		}
	}
	wanted := s.Emitted()
	slices.Reverse(wanted)
	for _, target := range []string{"/" + access, "?access_token=" + access} {
		a := get(t, c, s.Endpoints().History+target)
		var got []Treat
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("the history (-want +got):\n%s", diff)
		}
		if strings.Contains(a.body, "message") {
			t.Error("a message that nobody wrote has a key")
		}
	}
}

func FuzzReceive(f *testing.F) {
	for _, seed := range []string{"", "1", "2probe", "3", "4", "40", "40/x,", "40/?a,", "41", `42["a"]`, "5", "\xff"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, packet string, newer bool) {
		server, err := newServer(Config{})
		if err != nil {
			t.Fatal(err)
		}
		inbox := &mailbox{ready: make(chan struct{}, 1), gone: make(chan struct{})}
		s, err := server.hub.open(t.Context(), inbox, map[bool]int{false: 3, true: 4}[newer], "guess")
		if err != nil {
			t.Fatal(err)
		}
		inbox.take()
		if err := s.receive(t.Context(), packet, "guess"); err != nil && packet[0] != packetClose {
			t.Errorf("%q ends the session: %v", packet, err)
		}
		if answers := inbox.take(); len(answers) > 1 || server.Connections() != 0 {
			t.Errorf("%q is answered with %q; %d are let in", packet, answers, server.Connections())
		}
	})
}
