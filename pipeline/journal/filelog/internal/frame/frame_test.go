package frame

import (
	"bytes"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

func FuzzFrame(f *testing.F) {
	e := journal.Entry{
		Kind: journal.Treat, ID: "trt_1", Time: time.Unix(1790000001, 0).UTC(), Account: "mystream",
		Provider: "treatstream", Origin: "live", Repeat: 1, Data: []byte(`{"id":"trt_1","text":"hello 1"}`),
	}
	f.Add(Append(nil, 1, FlagSynced, &e))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderSize || Size(b) == 0 || Size(b) > len(b) {
			return
		}
		b = b[:Size(b)]
		got, ok := Parse(b)
		if !ok {
			return
		}
		again := append(make([]byte, HeaderSize), got.Body...)
		Finish(again, got.Number, got.Flags)
		if !bytes.Equal(again, b) {
			t.Fatalf("%x\n%x", again, b)
		}
	})
}
