package socket_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/treatrelay/relay/socket"
)

// TestFrames sends single frames to a connected client: it must drop what it cannot use, and stay.
func TestFrames(t *testing.T) {
	for name, test := range map[string]struct {
		text   []string
		binary []string // after the text
		want   []string // namespace, name and arguments of the events
		only   socket.Protocol
	}{
		"event":                     {text: []string{`42["a",{"b":[1,"}"]},"c"]`}, want: []string{`/ a {"b":[1,"}"]} "c"`}},
		"space":                     {text: []string{`42 [ "a" , 1 ] `}, only: -1},
		"space inside":              {text: []string{`42[ "a" , { "b" : 1 } ]`}, want: []string{`/ a { "b" : 1 }`}},
		"no arguments":              {text: []string{`42["a"]`}, want: []string{`/ a`}},
		"escaped name":              {text: []string{`42["\u0061\n",null]`}, want: []string{"/ a\n null"}},
		"acknowledgement wanted":    {text: []string{`4217["a",1]`}, want: []string{`/ a 1`}},
		"namespace":                 {text: []string{`42/x,["a"]`, `42/x,5["b"]`}, want: []string{`/x a`, `/x b`}},
		"bare event":                {text: []string{"42"}},
		"bare acknowledgement":      {text: []string{"43"}},
		"acknowledgement":           {text: []string{`431[1]`, `43{}`}},
		"bare binary packets":       {text: []string{"45", "46", "450-", "460-"}},
		"bare error":                {text: []string{"44"}},
		"bare message":              {text: []string{"4"}},
		"empty frame":               {text: []string{""}},
		"unknown frames":            {text: []string{"5", "6", "7", "x", "\u00ff", "48", "4x"}},
		"no array":                  {text: []string{`42{}`, `42"a"`, `42null`, `42[]`, `42[1]`, `42[null]`}},
		"broken json":               {text: []string{`42["a"`, `42["a",]`, `42["a"]x`, `42["\x"]`}},
		"deep json":                 {text: []string{`42["a",` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `]`}},
		"reserved":                  {text: []string{`42["connect"]`, `42["disconnect"]`, `42["connect_error",{}]`}},
		"error while connected":     {text: []string{`44"later"`, `44{"message":"later"}`}},
		"second handshake":          {text: []string{opening}},
		"another namespace ends":    {text: []string{`40/z,{"sid":"z"}`, `40/z`}, only: socket.EIO3},
		"binary":                    {text: []string{`451-["a",{"_placeholder":true,"num":0}]`}, binary: []string{"\x00\x01"}, want: []string{`/ a "AAE="`}},
		"binary in a namespace":     {text: []string{`451-/x,["a",{"_placeholder":true,"num":0}]`}, binary: []string{""}, want: []string{`/x a ""`}},
		"binary, two":               {text: []string{`452-["a",[{"_placeholder":true,"num":1},{ "_placeholder" : true, "num" : 0 }]]`}, binary: []string{"0", "1"}, want: []string{`/ a ["MQ==","MA=="]`}},
		"binary, none":              {text: []string{`450-["a",1]`}, want: []string{`/ a 1`}},
		"binary twice in one place": {text: []string{`451-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`}, binary: []string{"0"}},
		"binary out of range":       {text: []string{`451-["a",{"_placeholder":true,"num":7}]`}, binary: []string{"0"}},
		"binary, quoted":            {text: []string{`451-["a","{\"_placeholder\":true,\"num\":0}",{"_placeholder":true,"num":0}]`}, binary: []string{"0"}, want: []string{`/ a "{\"_placeholder\":true,\"num\":0}" "MA=="`}},
		"binary without attachment": {text: []string{`451-["a",{"_placeholder":true,"num":0}]`, `42["b"]`}, want: []string{"/ b"}},
		"binary acknowledgement":    {text: []string{`461-0[{"_placeholder":true,"num":0}]`}, binary: []string{"0"}},
		"too many attachments":      {text: []string{`45999-["a"]`, `4599999999999999999999-["a"]`, `45-1-["a"]`}},
		"attachments too large":     {text: []string{`452-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`}, binary: []string{strings.Repeat("x", 600<<10), strings.Repeat("x", 600<<10)}},
		"stray attachment":          {binary: []string{"", "\x00", "xyz"}},
	} {
		for _, rev := range []socket.Protocol{socket.EIO3, socket.EIO4} {
			if test.only != 0 && test.only != rev {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v", name, rev), func(t *testing.T) {
				t.Parallel()
				then := func(s *served) {
					s.send(test.text...)
					for _, data := range test.binary {
						if rev == socket.EIO3 {
							data = "\x04" + data
						}
						s.bytes(data)
					}
					s.send(`42["end"]`)
					s.idle()
				}
				script := eio3(then)
				if rev == socket.EIO4 {
					script = eio4(then)
				}
				r := start(t, socket.Config{URL: serve(t, script), Protocol: rev}, nil)
				r.until("the last event", func() bool {
					return slices.ContainsFunc(r.events, func(ev socket.Event) bool { return ev.Name == "end" })
				})
				var got []string
				for _, ev := range r.received(1) {
					line := ev.Namespace + " " + ev.Name
					for _, arg := range ev.Args {
						if !json.Valid(arg) || len(arg) != cap(arg) {
							t.Errorf("argument %q", arg)
						}
						line += " " + string(arg)
					}
					got = append(got, line)
				}
				if want := append(slices.Clone(test.want), "/ end"); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if strings.Contains(r.history(), "waiting") {
					t.Errorf("the connection was lost: %s", r.history())
				}
				if n := strings.Count(r.logged(), "dropped"); n > 1 {
					t.Errorf("%d lines about dropped packets", n)
				}
			})
		}
	}
}

// TestEventsBeforeConnect hands over what precedes the connect packet.
func TestEventsBeforeConnect(t *testing.T) {
	for name, script := range map[string]func(*served){
		"3": func(s *served) { s.send(opening, `42["early"]`, "40", `42["late"]`); s.idle() },
		"4": func(s *served) {
			s.send(opening)
			s.read()
			s.send(`42["early"]`, `40{"sid":"x"}`, `42["late"]`)
			s.idle()
		},
	} {
		t.Run(name, func(t *testing.T) {
			protocol, err := socket.ParseProtocol(name)
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, socket.Config{URL: serve(t, script), Protocol: protocol}, nil)
			if got := r.names(2); !slices.Equal(got, []string{"early", "late"}) {
				t.Errorf("got %q", got)
			}
			r.phase(socket.Connected, 1)
		})
	}
}

// TestEnds covers the ways in which a server ends a connection, each of which must lead to another attempt.
func TestEnds(t *testing.T) {
	for name, end := range map[string]func(*served){
		"disconnect packet":              func(s *served) { s.send("41"); s.mute() },
		"disconnect packet and close":    func(s *served) { s.send("41") },
		"close packet":                   func(s *served) { s.send("1"); s.mute() },
		"close frame":                    func(s *served) { _ = s.ws.Close(websocket.StatusGoingAway, "restart") },
		"tcp close":                      func(s *served) { _ = s.ws.CloseNow() },
		"60 MB":                          func(s *served) { s.send(`42["big","` + strings.Repeat("x", 60<<20) + `"]`); s.mute() },
		"no UTF-8":                       func(s *served) { s.send("42[\"realTimeTreat\",\"\xff\"]"); s.mute() },
		"disconnect packet of one of us": func(s *served) { s.send("41/x,"); s.mute() },
	} {
		for _, rev := range []socket.Protocol{socket.EIO3, socket.EIO4} {
			t.Run(fmt.Sprintf("%s/%v", name, rev), func(t *testing.T) {
				t.Parallel()
				script := eio3(end)
				if rev == socket.EIO4 {
					script = eio4(end)
				}
				r := start(t, socket.Config{URL: serve(t, script), Protocol: rev}, nil)
				if s := r.phase(socket.Waiting, 1); s.Err == nil || s.RetryIn > 60*time.Second {
					t.Errorf("state %+v", s)
				}
				r.phase(socket.Connected, 2)
				r.stop()
				if err := r.wait(); err != nil {
					t.Errorf("Run = %v", err)
				}
			})
		}
	}
}

// TestConnectIsSentOnce looks at what the client says: "/" is joined by the server of version 1 or 2, and a second
// connect could double events. At the end it says goodbye.
func TestConnectIsSentOnce(t *testing.T) {
	for _, test := range []struct {
		rev  socket.Protocol
		want string
	}{
		{socket.EIO3, "40/x 2 41"},
		{socket.EIO4, `40{} 40/x,{} 41`},
	} {
		t.Run(test.rev.String(), func(t *testing.T) {
			answer := make(chan []string, 1)
			url := serve(t, func(s *served) {
				s.send(opening)
				var list []string
				for {
					frame := s.read()
					switch {
					case frame == "":
						answer <- list
						return
					case test.rev == socket.EIO3 && len(list) == 0:
						s.send("40", "40/x")
					case frame == "40{}":
						s.send(`40{"sid":"a"}`)
					case frame == "40/x,{}":
						s.send(`40/x,{"sid":"b"}`)
					}
					list = append(list, frame)
				}
			})
			r := start(t, socket.Config{URL: url, Protocol: test.rev, Namespaces: []string{"/x"}}, nil)
			r.phase(socket.Connected, 1)
			time.Sleep(100 * time.Millisecond) // for what should not come
			r.stop()
			got := <-answer
			if test.rev == socket.EIO3 {
				slices.Sort(got[:2]) // the first ping and the connect come from two goroutines
				slices.Reverse(got[:2])
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("the client said %q, want %s", got, test.want)
			}
		})
	}
}

// TestCyclesLeakNothing connects and closes a thousand times.
func TestCyclesLeakNothing(t *testing.T) {
	cycles := 1000
	if testing.Short() {
		cycles = 100
	}
	url := serve(t, eio3((*served).idle))
	cycle := func() {
		r := start(t, socket.Config{URL: url}, nil)
		r.phase(socket.Connected, 1)
		r.stop()
		if err := r.wait(); err != nil {
			t.Fatalf("Run = %v", err)
		}
	}
	measure := func() (goroutines int, heap uint64) {
		for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			now := runtime.NumGoroutine()
			if now == goroutines && max(heap, m.HeapAlloc)-min(heap, m.HeapAlloc) < 64<<10 {
				break
			}
			goroutines, heap = now, m.HeapAlloc
		}
		return goroutines, heap
	}
	for range 20 {
		cycle()
	}
	goroutines, heap := measure()
	for range cycles {
		cycle()
	}
	goroutinesAfter, heapAfter := measure()
	if goroutinesAfter > goroutines+3 {
		t.Errorf("%d goroutines, %d before", goroutinesAfter, goroutines)
	}
	// The test itself keeps a little of each cycle.
	if grown := (int64(heapAfter) - int64(heap)) / int64(cycles); grown > 6<<10 {
		t.Errorf("the heap grew by %d bytes a cycle", grown)
	}
}
