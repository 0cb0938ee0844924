package telemetry

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestStandardLog(t *testing.T) {
	var out bytes.Buffer
	log := standardLog{zerolog.New(&out)}
	const unsolicited = `Unsolicited response received on idle HTTP channel starting with "HTTP/1.1 200 hush"`
	for message, want := range map[string]string{
		"http: TLS handshake error from 127.0.0.1:1: EOF\n": `"level":"warn","by":"standard logger","message":"http: TLS handshake error from 127.0.0.1:1: EOF"}`,
		"panic: boom\ngoroutine 1:\n\tmain\x1b[0m":          `"level":"warn","by":"standard logger","message":"panic: boom goroutine 1: main`,
		unsolicited + "; err=<nil>\n":                       `"level":"debug","by":"standard logger","message":"Unsolicited response received on idle HTTP channel"}`,
		strings.Repeat("é", 600):                            "é...",
	} {
		out.Reset()
		if n, err := log.Write([]byte(message)); n != len(message) || err != nil {
			t.Errorf("%q: %d, %v", message, n, err)
		}
		if got := out.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 || len(got) > 700 || strings.Contains(got, "\x1b") {
			t.Errorf("%q: %s, want %s", message, got, want)
		}
	}
}
