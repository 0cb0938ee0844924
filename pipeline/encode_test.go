package pipeline

import (
	"bytes"
	"testing"
	"time"
)

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
		want, wantErr := EncodeJSON(&e)
		got, err := e.Line()
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("got  %s, %v\nwant %s, %v", got, err, want, wantErr)
		}
	})
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
			if _, err := EncodeJSON(&e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchEvent(b *testing.B) Event {
	b.Helper()
	text := func(s string) *string { return &s }
	at := time.Date(2026, 11, 25, 21, 0, 0, 0, time.UTC)
	e := Event{
		SpecVersion: SpecVersion, Source: "/treatstream/mystream", Type: EventType, Time: at, RecordedTime: at.Add(time.Second),
		DataContentType: DataContentType, Origin: OriginLive, Data: Data{
			Account: "mystream", Provider: "treatstream", Sender: text("GenerousViewer42"), SenderType: text("twitch"), Receiver: text("streamer"),
			ReceiverType: text("twitch"), Title: text("Large Pizza"), Message: text("4711 enjoy it, this was a great stream! 🍕"), DateCreated: text("2026-11-25 21:00:00"),
		},
	}
	e.ID = NewID(e.Time, NewKey(&e.Data), 0)
	return e
}
