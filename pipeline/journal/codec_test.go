package journal

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func TestCodec(t *testing.T) {
	for _, e := range []Entry{
		{},
		{Kind: Treat, ID: "trt_1", Time: time.Unix(1790000000, 123456789).UTC(), Account: "mystream", Provider: "treatstream", Origin: "live", Repeat: 1, Data: []byte(`{"a":1}`)},
		{Kind: Dead, ID: "x", Time: time.Unix(0, 0).UTC(), Account: "a", Type: "t", Sink: "s", EventID: "e", Baseline: "b", Was: "live", Ref: 1 << 63, Batch: 1 << 61, Repeat: 1 << 62, Data: bytes.Repeat([]byte{0}, 300)},
	} {
		if e.Time.IsZero() {
			e.Time = time.Unix(0, 0).UTC()
		}
		b := AppendEntry(nil, &e)
		if len(b) > EntrySize(&e) {
			t.Errorf("%d bytes, more than EntrySize says: %d", len(b), EntrySize(&e))
		}
		got, err := ParseEntry(b)
		if len(got.Data) == 0 {
			got.Data = e.Data
		}
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v, %v\nwant %+v", got, err, e)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(AppendEntry(nil, &Entry{Kind: Treat, ID: "trt_1", Account: "a", Data: []byte("{}")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		again, err := ParseEntry(AppendEntry(nil, &e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v, %v\nwant %+v", again, err, e)
		}
	})
}
