package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzConfig checks that relay reads any file without a panic, that every error is one line with a place inside the file, and that no error
// contains the value of a variable or the content of a secret file.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "a: &x [*x]\n", "accounts:\n  a: {provider: treatstream, client_id: x, client_secret: '${S}'}\n",
		"accounts:\n  a:\n    provider: ${S}\n    client_secret_file: s\n    timezone: ${S}\n    endpoints: {token: '${S}'}\n",
		"sinks:\n  o: {type: stdout, accounts: [a], retry: {initial: 1s}}\n  '${S}': {type: '${S}'}\n",
		"sinks:\n  n: {type: nats, url: 'nats://${S}@h', subject: '${S}', stream: '${S}', token_file: s}\n",
		"sinks:\n  w: {type: webhook, url: '${S}', secret_file: s, secrets: ['${S}'], headers: {'a b': '${S}', c: [1]}}\n",
		"journal: {nats_url: '${S}', retention: 1h}\nnats: {listen: '${S}'}\nhttp: {listen: ':0'}\n...\n",
		"a: |\n  b\n\n c\n", "a: >+2\n    b\n", "\ufeffa: 'b''c'\r\n---\n", "? a\n: b", "- - - a", "%YAML 1.2\n---\n", "a: \"\\x41\\u00e9\n  b\"",
	} {
		f.Add([]byte(seed))
	}
	const planted = "s3cr3t-in-a-variable"
	getenv := func(name string) (string, bool) { return planted, name == "S" }
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte(planted+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, "relay.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return // Longer than any file of interest.
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, getenv)
		if err == nil {
			if c == nil {
				t.Fatal("neither a configuration nor an error")
			}
			return
		}
		errs, ok := errors.AsType[Faults](err)
		if !ok || len(errs) == 0 {
			t.Fatalf("the error is a %T: %v", err, err)
		}
		plain := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(text), "\ufeff"))
		lines := strings.Split(plain, "\n")
		for i, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > utf8.RuneCountInString(lines[e.Line-1])+1 {
				t.Errorf("%v: the place is outside the file", e)
			}
			if strings.ContainsAny(e.Error(), "\n\r\x00\x1b") || e.Message == "" {
				t.Errorf("%q: want one line", e.Error())
			}
			if strings.Contains(e.Error(), planted) && !strings.Contains(string(text), planted) {
				t.Errorf("%v: it contains a secret", e)
			}
			if i > 0 && (e.Line < errs[i-1].Line || e.Line == errs[i-1].Line && e.Column < errs[i-1].Column) {
				t.Errorf("%v comes after %v", e, errs[i-1])
			}
		}
	})
}
