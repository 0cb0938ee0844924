package main

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// distorted is a history that changes the form of each treat.
type distorted struct {
	mu   sync.Mutex
	list []map[string]any // newest first
}

func (d *distorted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(append([]map[string]any{}, d.list...))
}

func (d *distorted) add(t map[string]any, form func(map[string]any)) {
	t = maps.Clone(t)
	form(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = slices.Insert(d.list, 0, t)
}

func inTexts(change func(string) string) func(map[string]any) {
	return func(t map[string]any) {
		for _, field := range []string{"sender", "title", "message"} {
			if text, ok := t[field].(string); ok {
				t[field] = change(text)
			}
		}
	}
}

func dated(change func(time.Time) string) func(map[string]any) {
	return func(t map[string]any) {
		at, _ := time.Parse(time.DateTime, t["date_created"].(string))
		t["date_created"] = change(at)
	}
}

func replaced(old, by string) func(map[string]any) {
	return inTexts(func(s string) string { return strings.ReplaceAll(s, old, by) })
}

// Ten treats that look different in the history are delivered ten times in all, whether they arrive live first or from the history first.
func TestDistortedHistoryDoublesNothing(t *testing.T) {
	shifted := func(by time.Duration) func(map[string]any) {
		return dated(func(at time.Time) string { return at.Add(by).Format(time.DateTime) })
	}
	field := func(name string, value any) func(map[string]any) { return func(t map[string]any) { t[name] = value } }
	forms := map[string]func(map[string]any){
		"1 s later": shifted(time.Second), "2 s later": shifted(2 * time.Second), "2 s earlier": shifted(-2 * time.Second),
		"seconds :00":   dated(func(at time.Time) string { return at.Format("2006-01-02 15:04:00") }),
		"no emoji":      replaced("🍵", ""),
		"emoji as ????": replaced("🍵", "????"),
		"&amp;#039;":    replaced("'", "&amp;#039;"),
		"entities":      inTexts(html.EscapeString),
		`\'`:            replaced("'", `\'`),
		"upper case":    inTexts(strings.ToUpper),
		"NFD":           inTexts(norm.NFD.String),
		"blanks":        replaced(" ", "  "), "no-break spaces": replaced(" ", "\u00a0"),
		"Anonymous": func(map[string]any) {}, "anonymous and empty": field("sender", ""),
	}
	for _, name := range []string{"sender", "sender_type", "receiver", "receiver_type", "title", "message"} {
		forms["without "+name] = func(t map[string]any) { delete(t, name) }
	}
	w := newWorld(t, simulatedRealtime)
	d := &distorted{}
	w.historyProxy("me", d.ServeHTTP)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	p.err.find(t, "first comparison with the history")
	begin, total := time.Now().Add(-time.Hour).Truncate(time.Minute), 0
	arrived := func(what string, n int) {
		total += n
		eventually(t, func() error {
			if got := len(p.out.get()); got < total {
				return fmt.Errorf("%s: %d treats are delivered, want %d", what, got, total)
			}
			return nil
		})
	}
	compare := func(what string, missing int) {
		if _, stderr, code := w.command("", "reconcile", "mystream"); code != exit.OK || !strings.Contains(stderr, fmt.Sprintf(": %d were missing", missing)) {
			t.Errorf("%s: exit code %d\n%s", what, code, stderr)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(forms)) {
		for first, what := range []string{name + ", live first", name + ", history first"} {
			var all []map[string]any
			for n := range 10 {
				one := map[string]any{
					"sender": fmt.Sprintf("Zoë O'Hara %d", n), "sender_type": "twitch", "receiver": "me", "receiver_type": "user",
					"title": fmt.Sprintf("🍵 Tom's crème %d of %d.%d", n, i, first), "message": fmt.Sprintf("that's great, <no.> %d", n),
					"date_created": begin.Add(time.Duration(60*i+6*n) * time.Second).UTC().Format(time.DateTime),
				}
				switch name {
				case "Anonymous":
					one["sender"] = nil
				case "anonymous and empty":
					one["sender"] = "Anonymous"
				}
				all = append(all, one)
			}
			known := func() {
				for _, one := range all {
					d.add(one, forms[name])
					if name == "Anonymous" {
						d.list[0]["sender"] = "Anonymous"
					}
				}
			}
			live := func() {
				for _, one := range all {
					text, err := json.Marshal(one)
					if err != nil {
						t.Fatal(err)
					}
					w.sim.EmitRaw(text)
				}
			}
			if first == 0 {
				live()
				arrived(what, 10)
				known()
				compare(what, 0)
			} else {
				known()
				compare(what, 10)
				arrived(what, 10)
				live()
			}
			w.sim.EmitRaw(json.RawMessage(fmt.Sprintf(`{"title":"the end of %d.%d"}`, i, first)))
			arrived(what, 1)
			if got := len(p.out.get()); got != total {
				t.Fatalf("%s: %d treats are delivered, want %d", what, got, total)
			}
		}
	}
	compare("in the end", 0)

	// What cannot be recognized is not delivered, and it is said.
	for n := range 10 {
		at := time.Now().Add(-time.Duration(600-n) * time.Second).UTC().Format(time.DateTime)
		w.sim.EmitRaw(json.RawMessage(fmt.Sprintf(`{"sender":"live %d","title":"Tea %d","date_created":%q}`, n, n, at)))
		d.add(map[string]any{"sender": fmt.Sprint(n), "title": fmt.Sprint("treat ", n), "date_created": at}, func(map[string]any) {})
	}
	arrived("unlike", 10)
	compare("unlike", 0)
	p.err.find(t, "in a form that cannot be recognized")
	if out, _, _ := w.command("", "status"); !strings.Contains(out, "10 treats of its history may be live ones in another form") {
		t.Errorf("status:\n%s", out)
	}
	p.stop()
	if got := len(p.out.get()); got != total {
		t.Errorf("%d treats are delivered, want %d", got, total)
	}
	w.noSecrets(p)
}
