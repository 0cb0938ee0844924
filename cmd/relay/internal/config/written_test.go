package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/socket"
)

// Every value is written as it may be read.
func TestWrittenValue(t *testing.T) {
	const off = `off:"0"`
	for _, test := range []struct {
		value any
		tag   reflect.StructTag
	}{
		{false, ""},
		{true, ""},
		{3, ""},
		{90 * time.Minute, ""},
		{72 * time.Hour, ""},
		{1500 * time.Millisecond, ""},
		{61 * time.Second, ""},
		{time.Hour + time.Second, ""},
		{time.Duration(0), off},
		{20 * time.Minute, off},
		{5 * time.Second, off},
		{option[rules.SenderRule]{}, ""},
		{option[rules.SenderRule]{rules.HideSender}, ""},
		{option[rules.SenderRule]{rules.HashSender}, ""},
		{option[testRule]{}, ""},
		{option[testRule]{skipTests}, ""},
		{option[rules.BackfillRule]{}, ""},
		{option[rules.BackfillRule]{rules.SkipBackfill}, ""},
		{option[rules.BackfillRule]{rules.DigestBackfill}, ""},
		{option[order]{}, ""},
		{option[order]{orderStrict}, ""},
		{option[order]{orderNone}, ""},
		{rateLimit{5}, ""},
		{rateLimit{7.0 / 60}, ""},
		{rateLimit{1.0 / 3600}, ""},
		{rateLimit{100_001.0 / 3600}, ""},
		{time.UTC, ""},
		{socket.Auto, ""},
		{socket.EIO3, ""},
		{socket.EIO4, ""},
	} {
		text := strings.Trim(mustJSON(t, writtenValue(reflect.ValueOf(test.value), test.tag)), `"`)
		fresh := reflect.New(reflect.TypeOf(test.value)).Elem()
		if err := setScalar(fresh, text, test.tag); err != nil || fresh.Interface() != test.value {
			t.Errorf("%#v is written %s, which reads as %#v (%v)", test.value, text, fresh.Interface(), err)
		}
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
