package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// served runs the emission alone for a while of a bubble's time and returns the treats.
func served(t *testing.T, cfg Config, d time.Duration) (treats []Treat) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := newServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.emitAll(ctx) }()
		time.Sleep(d)
		cancel()
		<-done
		treats = s.Emitted()
	})
	return treats
}

func TestRateAndSeed(t *testing.T) {
	cfg := Config{Rate: 5, Seed: 7}
	got := served(t, cfg, 1000*time.Second)
	if n := len(got); n < 4700 || n > 5300 {
		t.Errorf("%d treats in 1000 s at 5 a second", n)
	}
	if diff := cmp.Diff(got, served(t, cfg, 1000*time.Second)); diff != "" {
		t.Errorf("the same seed gives other treats:\n%s", diff)
	}
	cfg.Seed = 8
	if cmp.Equal(got[:100], served(t, cfg, 100*time.Second)[:100]) {
		t.Error("another seed gives the same treats")
	}
	cfg = Config{Rate: 5, Seed: 7, Malformed: 1, Drop: 1}
	if diff := cmp.Diff(got[:100], served(t, cfg, 100*time.Second)[:100]); diff != "" {
		t.Errorf("faults change the treats:\n%s", diff)
	}
}

func TestTreatsAreVaried(t *testing.T) {
	seen := map[string]int{}
	for _, treat := range served(t, Config{Rate: 10, Seed: 1, Receiver: "Me"}, 1000*time.Second) {
		if treat.Receiver != "Me" || treat.ReceiverType == "" || treat.SenderType == "" || treat.Title == "" {
			t.Fatalf("incomplete: %+v", treat)
		}
		if _, err := time.Parse(dateFormat, treat.DateCreated); err != nil {
			t.Fatal(err)
		}
		seen["type "+treat.SenderType]++
		switch {
		case treat.Sender == "":
			seen["anonymous"]++
		case treat.Message == nil:
			seen["wordless"]++
		case *treat.Message == "":
			seen["empty"]++
		case utf8.RuneCountInString(*treat.Message) == longMessage:
			seen["long"]++
		case strings.Contains(*treat.Message, "@everyone"):
			seen["@everyone"]++
		}
	}
	for _, kind := range []string{
		"anonymous", "wordless", "empty", "long", "@everyone", "type user", "type twitch", "type youtube", "type discord",
	} {
		if seen[kind] == 0 {
			t.Errorf("no treat is %s: %v", kind, seen)
		}
	}
}

func TestDup(t *testing.T) {
	got := served(t, Config{Rate: 2, Seed: 3, Dup: 1}, 60*time.Second)
	if len(got) < 20 || len(got)%2 != 0 {
		t.Fatalf("%d treats", len(got))
	}
	for i := 0; i < len(got); i += 2 {
		if diff := cmp.Diff(got[i], got[i+1]); diff != "" {
			t.Errorf("the second of treat %d differs:\n%s", i, diff)
		}
	}
}

// TestFaultsOnTheWire reads what a client meets when everything goes wrong, and compares it with the history.
func TestFaultsOnTheWire(t *testing.T) {
	const rounds = 44 // every piece of garbage and every oddity several times
	s := start(t, Config{Seed: 5, Malformed: 1, Odd: 1})
	p := connect(t, s)
	k, f := newGenerator(5), newFaults(s.cfg)
	kinds := map[string]bool{}
	for i := range rounds {
		s.emitOne(t.Context(), k, f)
		for _, isGarbage := range []bool{true, false} {
			packet, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			var args []any
			if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "42")), &args); err != nil {
				t.Fatalf("%q: %v", packet, err)
			}
			if got, ok := tolerant(args[1:]); ok == isGarbage {
				t.Errorf("round %d: %q is a treat: %v", i, packet, ok)
			} else if ok {
				emitted := s.Emitted()
				if diff := cmp.Diff(emitted[len(emitted)-1], got); diff != "" {
					t.Errorf("%q is not what the history says (-history +wire):\n%s", packet, diff)
				}
				kinds[strconv.FormatBool(packet[19] == '[')] = true
			}
		}
	}
	if len(s.Emitted()) != rounds || len(kinds) != 2 {
		t.Errorf("%d treats in the history after %d rounds, arrays: %v", len(s.Emitted()), rounds, kinds)
	}
}

// tolerant is a reader as the documentation of relay promises one: a number for a string, unknown keys, a null message
// and an array around the object are understood.
func tolerant(args []any) (t Treat, ok bool) {
	if len(args) == 0 {
		return t, false
	}
	if list, isList := args[0].([]any); isList && len(list) == 1 {
		args = list
	}
	object, _ := args[0].(map[string]any)
	text := func(key string) string {
		switch v := object[key].(type) {
		case string:
			return v
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return ""
	}
	t = Treat{
		Sender: text("sender"), SenderType: text("sender_type"), Receiver: text("receiver"),
		ReceiverType: text("receiver_type"), Title: text("title"), DateCreated: text("date_created"),
	}
	if object["message"] != nil {
		t.Message = new(text("message"))
	}
	return t, t.Title != "" && t.DateCreated != ""
}

func TestDropCutsAfterTheTreat(t *testing.T) {
	s := start(t, Config{Seed: 5, Drop: 1})
	p := connect(t, s)
	s.emitOne(t.Context(), newGenerator(5), newFaults(s.cfg))
	if diff := cmp.Diff(s.Emitted()[0], p.treat()); diff != "" {
		t.Errorf("the treat before the cut:\n%s", diff)
	}
	p.expectCut()
}

func TestHoldWhileAway(t *testing.T) {
	if n := len(served(t, Config{Rate: 100, Seed: 1, HoldWhileAway: true}, time.Hour)); n != 0 {
		t.Errorf("%d treats were emitted to nobody", n)
	}
	s := start(t, Config{Rate: 1000, Seed: 1, HoldWhileAway: true, Drop: 0.2})
	var received []Treat
	for range 3 { // Each connection begins where the last ended: nothing was emitted in between.
		p := connect(t, s)
		for {
			packet, err := p.next()
			if err != nil {
				break
			}
			var event []json.RawMessage
			var treat Treat
			if err := errors.Join(json.Unmarshal([]byte(packet[2:]), &event), json.Unmarshal(event[1], &treat)); err != nil {
				t.Fatal(err)
			}
			received = append(received, treat)
		}
	}
	if diff := cmp.Diff(s.Emitted(), received); diff != "" {
		t.Errorf("emitted and received differ (-emitted +received):\n%s", diff)
	}
}

func TestHistoryIsBoundedAndOfThirtyDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h history
		h.add(Treat{Title: "old"})
		time.Sleep(historySpan)
		h.add(Treat{Title: "new"})
		if got := h.month(); len(got) != 2 {
			t.Errorf("a treat of exactly thirty days is gone: %v", got)
		}
		time.Sleep(time.Second)
		if got := h.month(); len(got) != 1 || got[0].Title != "new" {
			t.Errorf("the month is %v", got)
		}
		for range maxHistory {
			h.add(Treat{Title: "many"})
		}
		if got := h.all(); len(got) != maxHistory || got[0].Title != "many" {
			t.Errorf("%d treats are kept, the first is %v", len(got), got[0])
		}
	})
}

func TestStartRefuses(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tc := range []struct {
		cfg  Config
		says string
	}{
		{Config{Drop: 1.1}, "drop is 1.1"},
		{Config{Odd: -1}, "odd is -1"},
		{Config{Rate: -1}, "rate is -1"},
		{Config{ExpireToken: -1}, "negative"},
		{Config{Addr: taken.Addr().String()}, "in use"},
	} {
		if s, err := Start(t.Context(), tc.cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("Start = %v, %v, want an error about %q", s, err, tc.says)
		}
	}
}

func TestClose(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Config{Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if s.Seed() == 0 {
		t.Error("a random seed is 0")
	}
	p, c := connect(t, s), browser(t)
	get(t, c, s.URL()) // A connection that stays open and idle.
	cancel()
	p.expectCut()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := s.Emit(Treat{}); !errors.Is(err, errClosed) {
		t.Errorf("Emit after Close = %v", err)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL(), "http://")); err == nil {
		t.Error("the listener still accepts")
	}
}
