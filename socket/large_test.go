package socket_test

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/treatrelay/relay/socket"
)

// TestPeerLargeEvents has a server send more than a treat can be, as text and as buffers, before a treat.
func TestPeerLargeEvents(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		var skipped atomic.Int32
		r := start(t, socket.Config{URL: p.url, OnSkip: func() { skipped.Add(1) }}, nil)
		r.phase(socket.Connected, 1)
		large := strings.Repeat("x", 1500<<10)
		buffer := base64.StdEncoding.EncodeToString([]byte(large))
		p.do(command{"cmd": "emit", "event": "catalogue", "args": []string{large}})
		p.do(command{"cmd": "emit", "event": "treat", "args": []string{"1"}})
		p.do(command{"cmd": "binary", "event": "pictures", "base64": []string{"AA==", buffer, "AA=="}})
		p.do(command{"cmd": "emit", "event": "treat", "args": []string{"2"}})
		p.do(command{"cmd": "emit", "event": "catalogue", "args": []string{strings.Repeat("é", 7<<20)}})
		p.do(command{"cmd": "emit", "event": "treat", "args": []string{"3"}})
		for i, ev := range r.received(3) {
			if got := arg[string](t, ev); ev.Name != "treat" || got != fmt.Sprint(i+1) {
				t.Errorf("event %d is %s %.20s", i, ev.Name, got)
			}
		}
		if a := p.report(); a.Connected != 1 || skipped.Load() != 3 {
			t.Errorf("connected %d times, and skipped %d messages", a.Connected, skipped.Load())
		}
		if log := r.logged(); strings.Count(log, "message skipped") != 3 || strings.Count(log, `"event":"catalogue"`) != 2 ||
			strings.Count(log, `"event":"pictures"`) != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// TestLargeMessages sends messages of all kinds around the limits. A connection that is lost has more than one of them.
func TestLargeMessages(t *testing.T) {
	const limit, most = 1 << 20, 16 << 20
	text := func(head string, size int) string { return head + strings.Repeat("x", size-len(head)) }
	event := func(size int) string { return text(`42["big","`, size-2) + `"]` }
	for name, test := range map[string]struct {
		text   []string
		binary []string // after the text
		want   []string
		lost   bool
		skips  int32
	}{
		"as large as a treat can be": {text: []string{event(limit)}, want: []string{"big"}},
		"a byte more":                {text: []string{event(limit + 1)}, skips: 1},
		"16 MiB":                     {text: []string{event(most)}, skips: 1},
		"more than 16 MiB":           {text: []string{event(most + 1)}, lost: true},
		"many, said once":            {text: []string{event(2 * limit), event(2 * limit), event(2 * limit)}, skips: 3},
		"no packet at all":           {text: []string{text("", 2*limit), text("7", 2*limit), text("4", 2*limit), text("42{", 2*limit)}, skips: 4},
		"a binary event with its buffers": {
			text: []string{text(`452-["big",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"`, 2*limit)}, binary: []string{"a", "b"}, skips: 1,
		},
		"buffers larger in sum": {
			text:   []string{`452-["big",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`},
			binary: []string{text("", 600<<10), text("", 600<<10)}, skips: 1,
		},
		"a stray buffer": {binary: []string{text("", 2*limit)}, skips: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var skips atomic.Int32
			then := func(s *served) {
				s.send(test.text...)
				for _, data := range test.binary {
					s.bytes("\x04" + data)
				}
				s.send(`42["end"]`)
				s.idle()
			}
			r := start(t, socket.Config{URL: serve(t, eio3(then)), Protocol: socket.EIO3, OnSkip: func() { skips.Add(1) }}, nil)
			if test.lost {
				if s := r.phase(socket.Waiting, 1); s.Err == nil || !strings.Contains(s.Err.Error(), "more than 16777216 bytes") {
					t.Errorf("error %v", s.Err)
				}
				return
			}
			if got, want := r.names(len(test.want)+1), append(slices.Clone(test.want), "end"); !slices.Equal(got, want) {
				t.Errorf("events %q, want %q", got, want)
			}
			if skips.Load() != test.skips {
				t.Errorf("%d skips, want %d", skips.Load(), test.skips)
			}
			if n := strings.Count(r.logged(), "message skipped"); test.skips > 0 && n != 1 {
				t.Errorf("%d lines about it:\n%s", n, r.logged())
			}
		})
	}
}

// TestLargeTextIsNotCheckedForUTF8 skips what was cut within a character.
func TestLargeTextIsNotCheckedForUTF8(t *testing.T) {
	r := start(t, socket.Config{URL: serve(t, eio3(func(s *served) {
		_ = s.ws.Write(s.ctx, websocket.MessageText, []byte(`42["`+strings.Repeat("é", 1<<20)+`"]`))
		s.send(`42["end"]`)
		s.idle()
	}))}, nil)
	if got := r.names(1); got[0] != "end" {
		t.Errorf("events %q", got)
	}
}

// TestSkippingTakesNoMemory skips 150 MiB, and allocates a fraction of that.
func TestSkippingTakesNoMemory(t *testing.T) {
	const messages, size = 10, 15 << 20
	chunk := []byte(strings.Repeat("x", 64<<10))
	url := serve(t, eio3(func(s *served) {
		s.send(`42["begin"]`)
		s.read()
		for range messages {
			w, err := s.ws.Writer(s.ctx, websocket.MessageText)
			for n := 0; n < size && err == nil; n += len(chunk) {
				_, err = w.Write(chunk)
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
		s.send(`42["end"]`)
		s.idle()
	}))
	r := start(t, socket.Config{URL: url, Protocol: socket.EIO3}, nil)
	r.received(1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.received(2)
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 60 {
		t.Errorf("%d MiB were allocated", grown)
	}
}
