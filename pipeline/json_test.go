package pipeline

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The scanner takes what encoding/json takes, refuses what it refuses, and finds the same members.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":1,"a":2}`, `{"a\u0062":"x"}`, `{"a":"\ud83c\udf55","b":"\ud83c"}`, "{\"a\":\"\xff\"}", `{"a":[1,[2,{"b":null}]],"c":true,"d":false}`,
		`{"a":-0.5e+10}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":tru}`, `{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`,
		`{"a":1}x`, `{"a":[1,]}`, `{"a":[`, `{"a":"`, `{"a":"\`, `{"a":nullx}`, `[]`, `null`, ``, `{"":0}`, "{\"a\":\"\x7f\u2028\"}", `{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal(text, &want) == nil && want != nil
		got := make(map[string]json.RawMessage)
		if ok := members(text, func(key, value []byte) {
			name := unquote(key)
			if !isText(key, name) {
				t.Errorf("%s is not the text %q", key, name)
			}
			got[name] = value
			if value[0] != '"' {
				return
			}
			var text string
			if err := json.Unmarshal(value, &text); err != nil || unquote(value) != text {
				t.Errorf("%s is the text %q, want %q, %v", value, unquote(value), text, err)
			}
		}); ok != valid {
			t.Fatalf("%q is an object: %v, want %v", text, ok, valid)
		}
		if valid && !cmp.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
	})
}

func TestMembersOfDeepValues(t *testing.T) {
	for _, depth := range []int{9_998, 9_999, 10_000, 10_001, 3_000_000} {
		for _, brackets := range []string{"[]", `{"b":}`} {
			open, end := brackets[:len(brackets)-1], brackets[len(brackets)-1:]
			text := []byte(`{"a":` + strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth) + "}")
			if got := members(text, func([]byte, []byte) {}); got != json.Valid(text) {
				t.Errorf("%d times %s is an object: %v, want %v", depth, brackets, got, !got)
			}
		}
	}
}

// An event's line is, byte for byte, what encoding/json makes of it.
func FuzzLine(f *testing.F) {
	f.Add("a", "b<&>\u2028\u2029", "\x00\x1f\b\f\n\r\t\"\\/\x7f", "\xff\xc3\x28\ufffd", []byte(`{"x": [1 ,2]}`), int64(1_763_000_000_123), 0, uint8(0))
	f.Add("", "", "", "", []byte(nil), int64(0), 3600, uint8(255))
	f.Add("🍕", "\xf0\x9f\x8d", "é", "\u200d", []byte(`"<>"`), int64(-62_135_596_800_000), -3600, uint8(0b1010))
	f.Add("x", "y", "z", "w", []byte(`{`), int64(253_402_300_800_000), 0, uint8(1))
	f.Fuzz(func(t *testing.T, a, b, c, d string, raw []byte, ms int64, zone int, null uint8) {
		text := func(s string, bit int) *string {
			if null>>bit&1 == 1 {
				return nil
			}
			return &s
		}
		e := Event{
			SpecVersion: a, ID: b, Source: c, Type: d, Time: time.UnixMilli(ms).In(time.FixedZone("", zone%50_000)), RecordedTime: time.UnixMilli(ms / 2).UTC(),
			DataContentType: DataContentType, Origin: Origin(a), Data: Data{
				Account: a, Provider: b, Sender: text(a, 0), SenderType: text(b, 1), Receiver: text(c, 2), ReceiverType: text(d, 3), Title: text(a+b, 4),
				Message: text(c+d, 5), Anonymous: null&1 == 1, DateCreated: text(b, 6), Raw: raw,
			},
		}
		want, wantErr := encode(&e)
		got, err := e.Line()
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("got  %s, %v\nwant %s, %v", got, err, want, wantErr)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeTreats(benchPayload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	norm := Normalizer{Account: "mystream", Provider: "treatstream", Location: time.UTC}
	treats, err := decodeTreats(benchPayload)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, dated := norm.normalize(&treats[0], time.Now()); !dated {
			b.Fatal("no date")
		}
	}
}

func BenchmarkID(b *testing.B) {
	e := benchEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		if NewID(e.Time, NewKey(&e.Data), 0) == "" {
			b.Fatal("no id")
		}
	}
}

func BenchmarkEnvelope(b *testing.B) {
	e := benchEvent(b)
	b.Run("relay", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Line(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := encode(&e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

var benchPayload = json.RawMessage(`{"sender":"GenerousViewer42","sender_type":"twitch","receiver":"streamer","receiver_type":"twitch","title":"Large Pizza",` +
	`"message":"4711 enjoy it, this was a great stream! 🍕","date_created":"2026-11-25 21:00:00"}`)

func benchEvent(b *testing.B) Event {
	b.Helper()
	treats, err := decodeTreats(benchPayload)
	if err != nil {
		b.Fatal(err)
	}
	norm := Normalizer{Account: "mystream", Provider: "treatstream", Location: time.UTC}
	e, _ := norm.normalize(&treats[0], time.Now())
	e.ID = NewID(e.Time, NewKey(&e.Data), 0)
	return e
}
