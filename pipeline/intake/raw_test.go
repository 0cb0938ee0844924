package intake

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// The raw object is portable, also where it comes from the journal of an older relay.
func TestKeepRawIsPortable(t *testing.T) {
	norm := Normalizer{Account: "acc", Provider: "treatstream", Location: time.UTC, KeepRaw: true}
	for in, out := range map[string]string{
		`[1,-2.5e3,true,null,"é🍕"]`: `[1,-2.5e3,true,null,"é🍕"]`,
		`"\ud83c pizza"`:            `"` + "\ufffd" + ` pizza"`,
		"\"caf\xe9\"":               `"caf` + "\ufffd" + `"`,
		`1e999`:                     `"1e999"`,
		strings.Repeat("7", 5000):   `"` + strings.Repeat("7", 5000) + `"`,
		`{"a":1,"\u0061":2}`:        `{"a":2}`,
		" [ 1 ,\t2 ] ":              `[1,2]`,
	} {
		one := decode(t, json.RawMessage(`{"title":"Tea", "extra":`+in+`}`))
		e, _ := norm.normalize(&one, time.Now())
		e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), 0)
		if want := `{"title":"Tea","extra":` + out + `}`; string(e.Data.Raw) != want {
			t.Errorf("%.200s: raw is %.200s, want %.200s", in, e.Data.Raw, want)
		}
		line, err := e.Line()
		if err != nil {
			t.Fatalf("%.200s: %v", in, err)
		}
		e.Data.Raw = json.RawMessage(`{"title":"Tea","extra":` + strings.TrimSpace(in) + `}`)
		old, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		if entry, err := ImportEntry(old); err != nil || !bytes.Equal(entry.Data, line) {
			t.Errorf("%.200s: imported as %.300s, %v", in, entry.Data, err)
		}
	}
}
