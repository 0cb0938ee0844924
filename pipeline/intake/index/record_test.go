package index

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/journal"
)

// The fingerprint of an event is the same before and after its way through the log, whatever its texts are.
func TestFingerprintOfALine(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) *string {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		s := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			`,"data":{"sender":"x"}}`, `"`, `\`, "2026-07-16 21:00:00", "2026-07-16T21:00:00.5+02:00", "\u2028\x00", "a\xff", "&amp; ", "",
		})).Draw(t, "text")
		return &s
	})
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SampledFrom([]string{"", `{"sender":"y","data":{"title":"z"}}`}).Draw(t, "raw")
		e := pipeline.Event{
			ID: "x", Time: epoch, RecordedTime: epoch, Data: pipeline.Data{
				Account: rapid.String().Draw(t, "account"), Sender: text.Draw(t, "sender"), SenderType: text.Draw(t, "sender_type"),
				Receiver: text.Draw(t, "receiver"), ReceiverType: text.Draw(t, "receiver_type"), Title: text.Draw(t, "title"),
				Message: text.Draw(t, "message"), DateCreated: text.Draw(t, "date_created"), Raw: []byte(raw),
			},
		}
		line, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		back, err := pipeline.Record{Line: line}.Event() // in which what is no UTF-8 is replaced
		if err != nil {
			t.Fatal(err)
		}
		got, ok := ofLine(line)
		if !ok || got != fingerprint.Of(&back.Data) {
			t.Fatalf("%+v, %v, want %+v of %s", got, ok, fingerprint.Of(&back.Data), line)
		}
	})
	for _, bad := range []string{"", "{}", `{"a":1,"data":{}`, `{"a":1,"data":[]}`, `{"a":1,"data":{]}`, `,"data":}`} {
		if _, ok := ofLine([]byte(bad)); ok {
			t.Errorf("%s has a fingerprint", bad)
		}
	}
}

func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := make(map[uint64]bool)
		var ranges []journal.Range
		for range rapid.IntRange(0, 20).Draw(t, "spans") {
			first := rapid.Uint64Range(1, 40).Draw(t, "first")
			s := journal.Range{First: first, Last: first + rapid.Uint64Range(0, 5).Draw(t, "more")}
			ranges = addRange(ranges, s)
			for n := s.First; n <= s.Last; n++ {
				have[n] = true
			}
		}
		first, last := rapid.Uint64Range(1, 50).Draw(t, "from"), rapid.Uint64Range(1, 50).Draw(t, "to")
		missing := make(map[uint64]bool)
		for _, s := range missingRanges(ranges, first, last) {
			for n := s.First; n <= s.Last; n++ {
				missing[n] = true
			}
		}
		want := make(map[uint64]bool)
		for n := uint64(1); n <= 60; n++ {
			if contains(ranges, n) != have[n] {
				t.Fatalf("%d is in %v: %v", n, ranges, !have[n])
			}
			if first <= n && n <= last && !have[n] {
				want[n] = true
			}
		}
		if diff := cmp.Diff(want, missing); diff != "" {
			t.Fatalf("missing of %v from %d to %d (-want +got):\n%s", ranges, first, last, diff)
		}
		for i := 1; i < len(ranges); i++ {
			if ranges[i].First <= ranges[i-1].Last+1 {
				t.Fatalf("%v touch or are not in order", ranges)
			}
		}
	})
}

// What older relays wrote of a baseline has no cores.
func TestBaselineWithoutCores(t *testing.T) {
	e := KnownEntry("a", "p", "7", 0, []KnownTreat{{fingerprint.Fingerprint{Content: 7, Core: fingerprint.Core{Sender: 70, Title: 3, Message: 7}, When: fingerprint.Date{Digits: epoch.Unix(), Floating: true}}, 3}})
	data := append([]byte{knownNoCores}, e.Data[1:9]...)
	e.Data = append(data, e.Data[1+8+coreSize:]...)
	for _, size := range []int{0, 5} { // what is cut off is none
		records := knownRecords(nil, record{number: 1}, &journal.Record{Entry: journal.Entry{Baseline: "7", Data: e.Data[:len(e.Data)-size]}})
		if size > 0 {
			if len(records) > 0 {
				t.Errorf("%+v", records)
			}
			continue
		}
		want := record{number: 1, content: 7, repeat: 3, second: unix32(epoch.Unix()), baseline: 7, flags: kindKnown | flagFloating}
		if len(records) != 1 || records[0] != want {
			t.Errorf("%+v, want %+v", records, want)
		}
	}
}
