package intake

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/treat"
)

const whole = `{"sender":"Ann","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Pizza","message":"hi","date_created":"2026-07-16 21:00:00"}`

// decode reads a payload that is one treat.
func decode(t *testing.T, payload json.RawMessage) treat.Treat {
	t.Helper()
	treats, left := treat.Decode([]json.RawMessage{payload})
	if len(treats) != 1 || len(left) > 0 {
		t.Fatalf("%d treats in %s, and left is %v", len(treats), payload, left)
	}
	return treats[0]
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{whole, `[` + whole + `]`, `"` + strings.ReplaceAll(whole, `"`, `\"`) + `"`, `{}`, `null`, `[[[]]]`, `{"title":1e999}`} {
		f.Add([]byte(seed))
	}
	norm := Normalizer{Account: "acc", Provider: "treatstream", Location: time.UTC, KeepRaw: true}
	f.Fuzz(func(t *testing.T, payload []byte) {
		treats, left := treat.Decode([]json.RawMessage{payload})
		if len(treats) == 0 && len(left) == 0 {
			t.Fatal("neither a treat nor a reason")
		}
		for _, l := range left {
			if strings.ContainsAny(l.Why.Error(), "\r") {
				t.Fatalf("reason %q has a line break", l.Why)
			}
		}
		for i := range treats {
			e, f := norm.normalize(&treats[i], time.Unix(1, 0))
			e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), 0)
			line, err := e.Line()
			if err != nil {
				t.Fatalf("event of %q: %v", payload, err)
			}
			if strings.ContainsAny(string(line), "\n\r") {
				t.Fatalf("line %q has a line break", line)
			}
			back, err := pipeline.Record{Line: line}.Event()
			if err != nil {
				t.Fatal(err)
			}
			if pipeline.NewKey(&back.Data) != pipeline.NewKey(&e.Data) || fingerprint.Of(&back.Data) != f {
				t.Fatalf("the key of %q changes by a round trip through the journal", payload)
			}
		}
	})
}

func TestNormalize(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 7, 16, 21, 0, 1, 234567890, time.UTC)
	tests := []struct {
		name, in string
		zone     *time.Location
		time     string
		dated    bool
	}{
		{"UTC", `{"title":"a","date_created":"2026-07-16 21:00:00"}`, time.UTC, "2026-07-16T21:00:00Z", true},
		{"a zone with summer time", `{"title":"a","date_created":"2026-07-16 21:00:00"}`, berlin, "2026-07-16T19:00:00Z", true},
		{"RFC 3339", `{"title":"a","date_created":"2026-07-16T21:00:00.5+02:00"}`, time.UTC, "2026-07-16T19:00:00.5Z", true},
		{"blanks around", `{"title":"a","date_created":" 2026-07-16 21:00:00 "}`, time.UTC, "2026-07-16T21:00:00Z", true},
		{"seconds since 1970", `{"title":"a","date_created":1784235600}`, berlin, "2026-07-16T21:00:00Z", true},
		{"milliseconds since 1970", `{"title":"a","date_created":"1784235600250"}`, berlin, "2026-07-16T21:00:00.25Z", true},
		{"an object of PHP", `{"title":"a","date_created":{"date":"2026-07-16 23:00:00.000000","timezone_type":3,"timezone":"Europe/Berlin"}}`, time.UTC, "2026-07-16T21:00:00Z", true},
		{"that of an offset", `{"title":"a","date_created":{"date":"2026-07-16 23:00:00.5","timezone_type":1,"timezone":"+02:00"}}`, time.UTC, "2026-07-16T21:00:00.5Z", true},
		{"that of an abbreviation", `{"title":"a","date_created":{"date":"2026-07-16 17:00:00","timezone_type":2,"timezone":"EDT"}}`, time.UTC, "2026-07-16T21:00:00Z", true},
		{"without seconds", `{"title":"a","date_created":"2026-07-16 21:00"}`, berlin, "2026-07-16T19:00:00Z", true},
		{"the date of a mail", `{"title":"a","date_created":"Thu, 16 Jul 2026 21:00:00 +0000"}`, berlin, "2026-07-16T21:00:00Z", true},
		{"absent", `{"title":"a"}`, time.UTC, "2026-07-16T21:00:01.234Z", false},
		{"no date", `{"title":"a","date_created":"yesterday"}`, time.UTC, "2026-07-16T21:00:01.234Z", false},
		{"zeros", `{"title":"a","date_created":"0000-00-00 00:00:00"}`, time.UTC, "2026-07-16T21:00:01.234Z", false},
		{"year one", `{"title":"a","date_created":"0001-01-01 00:00:00"}`, time.UTC, "0001-01-01T00:00:00Z", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			one := decode(t, json.RawMessage(tt.in))
			norm := Normalizer{Account: "acc", Provider: "treatstream", Location: tt.zone}
			e, f := norm.normalize(&one, received)
			dated := !f.When.IsZero()
			if dated != tt.dated {
				t.Errorf("dated = %v, want %v", dated, tt.dated)
			}
			if got := e.Time.Format(time.RFC3339Nano); dated && got != tt.time {
				t.Errorf("time = %s, want %s", got, tt.time)
			}
			if !dated && !e.Time.Equal(received.Truncate(time.Millisecond)) {
				t.Errorf("time = %s, want the time of receipt", e.Time)
			}
		})
	}
}

func TestAnonymous(t *testing.T) {
	norm := Normalizer{Account: "acc", Provider: "treatstream", Location: time.UTC}
	for in, want := range map[string]bool{
		`{"title":"a"}`: true, `{"title":"a","sender":null}`: true, `{"title":"a","sender":""}`: true,
		`{"title":"a","sender":"  "}`: true, `{"title":"a","sender":"SYSTEM"}`: false,
	} {
		one := decode(t, json.RawMessage(in))
		e, _ := norm.normalize(&one, time.Now())
		if e.Data.Anonymous != want || (e.Data.Sender == nil) != want {
			t.Errorf("%s: anonymous %v and sender %v, want anonymous %v", in, e.Data.Anonymous, e.Data.Sender, want)
		}
	}
}
