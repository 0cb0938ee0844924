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
	for _, value := range []any{
		false, true, 3, 90 * time.Minute, 72 * time.Hour, 1500 * time.Millisecond, 61 * time.Second, time.Hour + time.Second,
		interval{0},
		interval{20 * time.Minute},
		keepalive{0},
		keepalive{5 * time.Second},
		senderRule{},
		senderRule{rules.HideSender},
		senderRule{rules.HashSender},
		inclusion{},
		inclusion{true},
		backfill{},
		backfill{rules.SkipBackfill},
		backfill{rules.DigestBackfill},
		order{},
		order{orderStrict},
		order{orderNone},
		rateLimit{5},
		rateLimit{7.0 / 60},
		rateLimit{1.0 / 3600},
		rateLimit{100_001.0 / 3600},
		zone{time.UTC},
		revision{},
		revision{socket.EIO3},
		revision{socket.EIO4},
	} {
		text := strings.Trim(mustJSON(t, writtenValue(value)), `"`)
		fresh := reflect.New(reflect.TypeOf(value)).Elem()
		if err := setScalar(fresh, text); err != nil || fresh.Interface() != value {
			t.Errorf("%#v is written %s, which reads as %#v (%v)", value, text, fresh.Interface(), err)
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
