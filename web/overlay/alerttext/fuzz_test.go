package alerttext

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// FuzzClean checks that no text of a viewer is longer or less harmless than the screen allows.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"Pizza", "e\u0301\u0301", "👩\u200d👩\u200d👧", "\u202e\xff\n\n", "d\u0301arn it", "馬鹿者", strings.Repeat("🇫🇷", 9)} {
		f.Add(s, 5)
	}
	h := NewHidden([]string{"darn", "馬鹿"})
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 1 || limit > 300 {
			return
		}
		got := Clean(&text, limit, 6, h)
		if n := uniseg.GraphemeClusterCount(got); n > limit || !utf8.ValidString(got) || strings.Count(got, "\n") >= 6 {
			t.Errorf("clean(%q, %d) = %q, of %d graphemes", text, limit, got, n)
		}
		for _, w := range Words(got) {
			if h.has(w) {
				t.Errorf("clean(%q) = %q shows a hidden word", text, got)
			}
		}
	})
}
