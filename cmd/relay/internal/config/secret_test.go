package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"github.com/treatrelay/relay/internal/secret"
)

// Editors and shells of Windows save text in their own ways. What people mean is the secret.
func TestConfigSecretFiles(t *testing.T) {
	getenv := inConfigDir(t)
	for name, content := range map[string]string{
		"LF": "hunter2-file\n", "CR LF": "hunter2-file\r\n", "two line ends": "hunter2-file\r\n\r\n", "a byte order mark": "\xef\xbb\xbfhunter2-file\r\n",
		"UTF-16": "\xff\xfeh\x00u\x00n\x00t\x00e\x00r\x002\x00-\x00f\x00i\x00l\x00e\x00\r\x00\n\x00",
	} {
		if err := os.WriteFile("saved", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := load(t, "accounts:\n  a: {provider: treatstream, client_id: x, client_secret_file: saved}\nsinks: {o: {type: stdout}}\n", getenv)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := cfg.Accounts[0].ClientSecret.Reveal(); got != "hunter2-file" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Every key that is a secret is in the file that TestConfigShowHasNoSecret uses.
func TestEverySecretIsPlanted(t *testing.T) {
	planted, err := os.ReadFile(filepath.Join("testdata", "secrets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	eachKey(func(path string, k key) {
		item := k.value.Type()
		if item.Kind() == reflect.Slice || item.Kind() == reflect.Map {
			item = item.Elem()
		}
		if item == reflect.TypeFor[secret.String]() && !regexp.MustCompile(`\b`+k.name+`:`).Match(planted) {
			t.Errorf("%s is a secret, and is not planted", path)
		}
	})
}
