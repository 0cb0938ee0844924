package fingerprint

import (
	"fmt"
	"strings"
	"testing"
)

// What a text may lose on its way does not count, and nothing else is the same.
func TestFold(t *testing.T) {
	for _, same := range [][]string{
		{"Tom's Café", "TOM&#039;S CAFÉ", `Tom\'s Cafe`, "tom&amp;#039;s\u00a0cafe\u0301", "Tom&apos;s  Caf&eacute;", "Tom&AMP;#39;s&NBSP;CAFE"},
		{"Tea 🍵", "tea", "Tea ????", "Tea \ufffd\ufffd", "tea\u200b", "Tea ☕\ufe0f", `Tea \ud83c\udf75`, "tea<br />"},
		{`Tom's "best" - x`, "Tom\u2019s \u201cbest\u201d \u2013 x", "tom&#8217;s &ldquo;best&quot; &mdash; x"},
		{"Straße", "STRASSE", "strasse", "Stra&szlig;e"},
		{"", "🎉", "??", " \n", "\u00a0"},
		{"<b>", "&lt;b&gt;", "&amp;lt;B&amp;gt;"},
		{strings.Repeat("é&", maxText), strings.Repeat("É&amp;", maxText)},
	} {
		for _, text := range same {
			if got, want := foldHash(text), foldHash(same[0]); got != want {
				t.Errorf("%.80q is not as %.80q", text, same[0])
			}
		}
	}
	seen := make(map[uint64]string)
	for _, text := range []string{"Tea", "Teas", "Te a 1", "Чай", "чая", "茶", "お茶", "&", "&amp;x", "Tea & Soup", "Tea Soup", "0", "null", "1!", "1"} {
		if other, taken := seen[foldHash(text)]; taken {
			t.Errorf("%q is as %q", text, other)
		}
		seen[foldHash(text)] = text
	}
}

// Treats of a burst that differ in one part only are not taken for each other.
func TestCoresOfABurst(t *testing.T) {
	const n = 20_000
	for part, core := range map[string]func(text string) Core{
		"sender":  func(text string) Core { return coreOf(&text, nil, nil) },
		"title":   func(text string) Core { return coreOf(nil, &text, nil) },
		"message": func(text string) Core { return coreOf(nil, nil, &text) },
	} {
		seen := make(map[Core]int, n)
		for i := range n {
			c := core(fmt.Sprintf("Pizza %07d", i))
			if other, taken := seen[c]; taken {
				t.Errorf("%s: number %d is as number %d", part, i, other)
			}
			seen[c] = i
		}
	}
}

func TestNear(t *testing.T) {
	core := func(sender, title, message string) Core { return coreOf(&sender, &title, &message) }
	whole := core("Zoë", "Tea", "hello")
	for _, tt := range []struct {
		other Core
		near  bool
	}{
		{whole, true},
		{core("Zoë", "Tea", ""), true},
		{core("Zoë", "", "hello"), true},
		{core("Anonymous", "Tea", "hello"), true},
		{core("Zoë", "Tea", "bye"), false},
		{core("Zoë", "", ""), false},
		{core("Max", "Tea", "hello"), false},
		{Core{}, false},
	} {
		if whole.Near(tt.other) != tt.near || tt.other.Near(whole) != tt.near {
			t.Errorf("%v and %v: want %v", whole, tt.other, tt.near)
		}
	}
	if nobody := coreOf(nil, nil, nil); nobody != core("ANONYMOUS", "🎉", "?") || !nobody.IsZero() || !nobody.Near(Core{}) {
		t.Errorf("nothing is %v", nobody)
	}
	if !core("system", "x", "y").SentBy("SYSTEM") || whole.SentBy("SYSTEM") {
		t.Error("SYSTEM is not known")
	}
}
