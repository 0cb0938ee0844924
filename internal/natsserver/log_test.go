package natsserver_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/secret"
)

// logged is what went to a log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) lines(part string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// A thousand wrong logins are one line, and none of them has the password.
func TestWrongLoginsAreSaidOnce(t *testing.T) {
	var log logged
	s, err := natsserver.Start(t.Context(), natsserver.Config{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", OverlayUser: "overlay", OverlayPassword: secret.New(password), Log: zerolog.New(&log).Level(zerolog.InfoLevel),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for i := range 300 {
		if nc, err := nats.Connect(s.URL(), nats.UserInfo(fmt.Sprintf("overlay%d", i), "wrong"), nats.Name(fmt.Sprintf("page - %d - %%s", i))); err == nil {
			nc.Close()
			t.Fatal("a wrong login is let in")
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for len(log.lines("overlay logins are refused")) == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(log.lines("")); n < 1 || n > 5 {
		t.Errorf("300 wrong logins are %d lines: %s", n, log.lines(""))
	}
}

// What was counted is said once a minute.
func TestComplaintsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		l := natsserver.NewServerLog(zerolog.New(&log))
		for i := range 180 { // one every second
			for range 10 {
				l.Errorf("127.0.0.1:1 - cid:1 - \"v1:go:me\" - %v - %s", "authentication error", `User "x"`)
			}
			l.Errorf("127.0.0.1:1 - cid:2 - Client parser ERROR, state=%d", i)
			time.Sleep(time.Second)
			l.Flush(time.Now())
		}
		time.Sleep(time.Minute)
		l.Flush(time.Now())
		refused, total := log.lines("overlay logins are refused"), 0
		for _, line := range refused {
			var n int
			if _, err := fmt.Sscanf(line[strings.Index(line, `"count":`):], `"count":%d`, &n); err != nil {
				t.Error(err)
			}
			total += n
		}
		if len(refused) != 4 || total != 1800 || len(log.lines("parser ERROR")) != 4 {
			t.Errorf("%d lines about %d wrong logins, %d about the parser", len(refused), total, len(log.lines("parser ERROR")))
		}
	})
}
