package sinks_test

import (
	"encoding/binary"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// Files of secrets are read as people mean them, however an editor or a shell of Windows saved them.
func TestSecretFilesOfWindows(t *testing.T) {
	const key = "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8="
	wide := func(text string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = binary.LittleEndian.AppendUint16(b, unit)
		}
		return string(b)
	}
	for name, save := range map[string]func(text string) string{
		"LF":            func(text string) string { return text + "\n" },
		"CR LF":         func(text string) string { return text + "\r\n" },
		"a mark":        func(text string) string { return "\xef\xbb\xbf" + text + "\r\n" },
		"UTF-16":        func(text string) string { return wide("\ufeff" + text + "\r\n") },
		"UTF-16, naked": func(text string) string { return wide(text) },
		"blanks":        func(text string) string { return " " + text + " \r\n\r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(save(key)), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := webhook.ReadSigningSecrets(path); err != nil || len(got) != 1 || got[0] != secret.New(key) {
				t.Errorf("secret_file: %d secrets, %v", len(got), err)
			}
			var asked string
			base := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path })
			if err := os.WriteFile(path, []byte(save(base+"/api/v10"+sinktest.DiscordPath)), 0o600); err != nil {
				t.Fatal(err)
			}
			config := sinktest.DiscordConfig(t, base)
			config.URL, config.URLFile = secret.String{}, path
			if n, err := sinktest.OpenChat(t, config, nil).Deliver(t.Context(), sinktest.Plain("a0", 1)); n != 1 || err != nil || asked != "/api/v10"+sinktest.DiscordPath {
				t.Errorf("url_file: %d, %v, to %s", n, err, asked)
			}
		})
	}
}
