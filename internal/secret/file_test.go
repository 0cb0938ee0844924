package secret_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/treatrelay/relay/internal/secret"
)

func wide(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestReadLine(t *testing.T) {
	for name, c := range map[string]struct{ content, want, why string }{
		"plain":                   {"hunter2-secret", "hunter2-secret", ""},
		"LF":                      {"hunter2-secret\n", "hunter2-secret", ""},
		"CR LF":                   {"hunter2-secret\r\n", "hunter2-secret", ""},
		"CR":                      {"hunter2-secret\r", "hunter2-secret", ""},
		"several line ends":       {"hunter2-secret\r\n\r\n\n", "hunter2-secret", ""},
		"BOM":                     {"\xef\xbb\xbfhunter2-secret\r\n", "hunter2-secret", ""},
		"UTF-16 little endian":    {wide(binary.LittleEndian, "\ufeffhunter2-secret\r\n"), "hunter2-secret", ""},
		"UTF-16 big endian":       {wide(binary.BigEndian, "\ufeffhunter2-secret\n"), "hunter2-secret", ""},
		"UTF-16 without a mark":   {wide(binary.LittleEndian, "hunter2-secret\r\n"), "hunter2-secret", ""},
		"UTF-16 of the other":     {wide(binary.BigEndian, "hunter2-secret"), "hunter2-secret", ""},
		"UTF-16, not ASCII":       {wide(binary.LittleEndian, "\ufeffhünter2-\U0001f511"), "hünter2-\U0001f511", ""},
		"blanks belong to it":     {" hunter2 secret \n", " hunter2 secret ", ""},
		"not ASCII":               {"hünter2-\U0001f511\n", "hünter2-\U0001f511", ""},
		"Latin-1":                 {"h\xfcnter2-secret\n", "h\xfcnter2-secret", ""},
		"empty":                   {"", "", "is empty"},
		"only line ends":          {"\r\n\r\n", "", "is empty"},
		"only a mark":             {"\xef\xbb\xbf", "", "is empty"},
		"only a UTF-16 mark":      {"\xff\xfe", "", "is empty"},
		"two lines":               {"hunter2\nhunter3\n", "", "more than one line"},
		"two lines of UTF-16":     {wide(binary.LittleEndian, "\ufeffhunter2\r\nhunter3"), "", "more than one line"},
		"a control character":     {"hunter2\x00secret", "", "more than one line"},
		"half a UTF-16 character": {"\xff\xfehunter2-"[:9], "", "is not text"},
		"large":                   {strings.Repeat("hunter2", 10_000), "", "larger than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := secret.ReadLine(path)
			if c.why == "" && (err != nil || got.Reveal() != c.want) {
				t.Errorf("%q, %v, want %q", got.Reveal(), err, c.want)
			}
			if c.why != "" && (err == nil || !strings.Contains(err.Error(), path+" ") || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "hunter")) {
				t.Errorf("%v, want one about %s that says %q and quotes nothing", err, path, c.why)
			}
		})
	}
	if _, err := secret.ReadLine(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("%v, want that there is no file", err)
	}
}
