package main

import (
	"os"
	"testing"
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
