package overlay

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/pipeline"
)

func treatOf(t *testing.T, sender, title, message string) Event {
	t.Helper()
	e := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, ID: "trt_1", Source: "/treatstream/a", Type: pipeline.EventType, Origin: pipeline.OriginLive,
		Time: time.Unix(1e9, 0).UTC(), RecordedTime: time.Unix(1e9, 0).UTC(), DataContentType: pipeline.DataContentType,
		Data: pipeline.Data{Account: "a", Provider: "treatstream", Sender: &sender, Title: &title, Message: &message, Raw: json.RawMessage(`{"message":` + quoted(t, message) + `}`)},
	}
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	return Event{Record: pipeline.Record{Seq: 1, ID: e.ID, Account: "a", Origin: e.Origin, Type: e.Type, Line: line}, Time: e.Time}
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A slim event makes the same alert, in little memory.
func TestSlim(t *testing.T) {
	l := newLook(&Settings{HideWords: []string{"darn", "馬鹿"}})
	for name, text := range map[string]string{
		"short": "Pizza", "empty": "", "long": strings.Repeat("long ", 20_000), "one word": strings.Repeat("x", 100_000),
		"hidden words": strings.Repeat("darn it 馬鹿者 ", 5_000), "families": strings.Repeat("👩\u200d👩\u200d👧", 3_000),
		"zalgo": strings.Repeat("e"+strings.Repeat("\u0301", 50), 1_000), "invisible": strings.Repeat("\u202e\u200b\x07", 10_000) + "seen",
		"lines": strings.Repeat("a\r\n\n", 10_000), "escapes": strings.Repeat("\x1b[31m\\\"<b>", 5_000), "not UTF-8": strings.Repeat("\xff", 10_000),
	} {
		for _, e := range []Event{treatOf(t, text, text, text), treatOf(t, "Mara", "Tacos", text)} {
			small := slim(e)
			want, err := l.alert(e)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.alert(small)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-whole +slim):\n%s", name, err, diff)
			}
			if len(small.Line) > 96<<10 || cap(small.Line) > 256<<10 {
				t.Errorf("%s: %d bytes of %d, with room for %d", name, len(small.Line), len(e.Line), cap(small.Line))
			}
			if len(e.Line) > 0 && &small.Line[0] == &e.Line[0] {
				t.Errorf("%s: it shares memory with the journal", name)
			}
		}
	}
	for _, broken := range []string{"{", "{" + strings.Repeat(" ", 1<<20) + "x"} {
		small := slim(Event{Record: pipeline.Record{Line: []byte(broken)}})
		if _, err := l.alert(small); err == nil || len(small.Line) > slimBytes {
			t.Errorf("an event of %d bytes that cannot be decoded: %v, in %d bytes", len(broken), err, len(small.Line))
		}
	}
}
