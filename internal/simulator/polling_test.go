package simulator

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPolling(t *testing.T) {
	s, c := start(t, Config{}), browser(t)
	access := grant(t, c, s)
	base := s.Endpoints().Socket + "socket.io/?EIO=3&transport=polling&token="
	a := get(t, c, base+ticket(t, c, s, access))
	packets, err := packetsOf(a.body)
	if err != nil || len(packets) != 2 || packets[1] != "40" {
		t.Fatalf("the handshake is %q (%v)", a.body, err)
	}
	_, sid, _ := strings.Cut(packets[0], `"sid":"`)
	sid, _, _ = strings.Cut(sid, `"`)
	session := base + "&sid=" + sid
	post := func(body string) answer { return do(t, c, http.MethodPost, session, "text/plain;charset=UTF-8", body) }

	if a := post("1:2"); a.status != 200 || a.body != "ok" {
		t.Errorf("POST answered %d %s", a.status, a.body)
	}
	if a := get(t, c, session); a.body != "1:3" {
		t.Errorf("the poll says %q", a.body)
	}
	if _, err := s.Emit(Treat{Title: "Pizza 🍕 é"}); err != nil {
		t.Fatal(err)
	}
	if a := get(t, c, session); !strings.Contains(a.body, `Pizza \ud83c\udf55 \u00e9"`) {
		t.Errorf("the poll says %q", a.body)
	}
	if s.Connections() != 1 {
		t.Errorf("Connections = %d", s.Connections())
	}

	// A poll that waits is cut without an answer. A connection that served before would be tried again by net/http.
	fresh := browser(t)
	cut := make(chan error)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, session, nil)
		if err == nil {
			var res *http.Response
			if res, err = fresh.Do(req); err == nil {
				err = res.Body.Close()
			}
		}
		cut <- err
	}()
	waiting := func() bool { s := s.hub.find(sid); return s != nil && s.transport.(*mailbox).polled.Load() }
	for !waiting() {
		time.Sleep(time.Millisecond)
	}
	if a := get(t, c, session); a.status != 400 {
		t.Errorf("a second poll answered %d", a.status)
	}
	s.DropConnections()
	if err := <-cut; err == nil {
		t.Error("the poll was answered, want it cut")
	}
	if a := post("1:2"); a.status != 400 {
		t.Errorf("POST to a dropped session answered %d", a.status)
	}
}

func TestPollingEnds(t *testing.T) {
	s, c := start(t, Config{PingInterval: time.Millisecond, PingTimeout: time.Millisecond}), browser(t)
	base := s.Endpoints().Socket + "socket.io/?EIO=3&transport=polling"
	for _, body := range []string{"", "1:2", "3:2", "99999999999:2", "x", "-1:2", "1:1"} {
		a := get(t, c, base)
		_, sid, _ := strings.Cut(a.body, `"sid":"`)
		sid, _, _ = strings.Cut(sid, `"`)
		do(t, c, http.MethodPost, base+"&sid="+sid, "text/plain", body)
		for s.hub.find(sid) != nil { // Whatever was said, silence ends it.
			time.Sleep(time.Millisecond)
		}
	}
}

func packetsOf(payload string) (packets []string, err error) {
	err = splitPayload(payload, func(p string) error { packets = append(packets, p); return nil })
	return packets, err
}

func FuzzSplitPayload(f *testing.F) {
	for _, seed := range []string{"1:2", "2:40", "1:22:40", "3:🍕x", "", "12", ":", "999999999999999999999:1", "0:0:"} {
		f.Add(seed)
	}
	stop := errors.New("stop")
	f.Fuzz(func(t *testing.T, payload string) {
		packets, err := packetsOf(payload)
		if err != nil {
			return
		}
		again, err := packetsOf(joinPayload(packets))
		if err != nil {
			t.Fatal(err)
		}
		for i := range packets {
			packets[i] = escapeNonASCII(packets[i])
		}
		if !slices.Equal(packets, again) {
			t.Errorf("%q became %q", packets, again)
		}
		if len(packets) > 0 && !errors.Is(splitPayload(payload, func(string) error { return stop }), stop) {
			t.Error("the error of a packet is lost")
		}
	})
}
