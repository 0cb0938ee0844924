package socket_test

import (
	"slices"
	"testing"

	"github.com/treatrelay/relay/socket"
)

// TestPeerAcknowledgement has a server ask for acknowledgements.
func TestPeerAcknowledgement(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		r.phase(socket.Connected, 1)
		p.do(command{"cmd": "ask", "event": "realTimeTreat", "args": []any{1, map[string]string{"title": "Tea"}}})
		p.do(command{"cmd": "ask", "event": "bytes", "base64": []string{"AAE=", "AAI="}})
		p.do(command{"cmd": "ask", "event": "empty"})
		if got := r.names(3); !slices.Equal(got, []string{"realTimeTreat", "bytes", "empty"}) {
			t.Errorf("events %q", got)
		}
	})
}

// TestAcknowledgements sends what wants an answer, and what cannot have one.
func TestAcknowledgements(t *testing.T) {
	answers := make(chan []string, 1)
	r := start(t, socket.Config{Namespaces: []string{"/x"}, Protocol: socket.EIO3, URL: serve(t, func(s *served) {
		s.send(opening, "40", "40/x", `4217["a",1]`, `42/x,0["b"]`, `42["c"]`, `4218{`, `42999999999999999999999999["d"]`, `43[]`,
			`4251-/x,3["e",{"_placeholder":true,"num":0}]`, `451-12345678901234567890["f",{"_placeholder":true,"num":0}]`)
		s.bytes("\x04z")
		s.send(`4219["end"]`)
		var list []string
		for {
			switch frame := s.read(); frame {
			case "":
				return
			case "2", "40/x":
			case "4319[]":
				answers <- list
				s.idle()
				return
			default:
				list = append(list, frame)
			}
		}
	})}, nil)
	if got, want := <-answers, []string{"4317[]", "43/x,0[]", "4312345678901234567890[]"}; !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
	if got := r.names(6); !slices.Equal(got, []string{"a", "b", "c", "d", "f", "end"}) {
		t.Errorf("events %q", got)
	}
}
