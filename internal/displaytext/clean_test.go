package displaytext

import (
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"enjoy!":                            "enjoy!",
		"  a \t b\u00a0\u3000c  ":           "a b c",
		"a\r\nb\rc\u2028d\u0085e":           "a\nb\nc\nd\ne",
		"\n\na\n \n\n\nb\n":                 "a\n\nb",
		"a\x00\x1b[31m\x7fb":                "a[31mb",
		"\u202egnp.exe\u202c":               "gnp.exe",
		"p\u200bi\u2060z\ufeffz\u00ada":     "pizza",
		"p\u200di\u200cz":                   "piz",
		"p\u200d\u200d \u200dq":             "p q",
		"\u3164\u2800\uffa0":                "",
		"\u0301\u0301a":                     "a",
		"a" + strings.Repeat("\u0337", 50):  "a\u0337\u0337\u0337\u0337",
		"Việt, Vie\u0302\u0323t":            "Việt, Vie\u0302\u0323t",
		"می\u200cخواهم":                     "می\u200cخواهم",
		"क्\u200dष":                         "क्\u200dष",
		"👩\u200d👩\u200d👧\u200d👦":            "👩\u200d👩\u200d👧\u200d👦",
		"🏳\ufe0f\u200d🌈":                    "🏳\ufe0f\u200d🌈",
		"❤\ufe0f\u200d🔥":                    "❤\ufe0f\u200d🔥",
		"👩\u200d\u200d\u200d x":             "👩 x",
		"👋🏽 🇫🇷 1\ufe0f\u20e3":               "👋🏽 🇫🇷 1\ufe0f\u20e3",
		"🏴\U000e0067\U000e0062\U000e007fx":  "🏴\U000e0067\U000e0062\U000e007fx",
		"x\U000e0067\U000e0062\U000e007f":   "x",
		"x\ufe01\U000e0100y":                "xy",
		"\xff\xc0a\ufffe\uffff\U0001fffeb":  "\ufffd\ufffdab",
		"שלום":                              "שלום",
		strings.Repeat("a\n", 30) + "b":     strings.Repeat("a\n", 19) + strings.Repeat("a ", 11) + "b",
		strings.Repeat("\u200b", 1e5) + "x": "x",
	} {
		if got := Clean(text, 20); got != want {
			t.Errorf("clean(%.80q) = %.80q, want %.80q", text, got, want)
		}
	}
	if got := Clean("a\n\nb\nc", 1); got != "a b c" {
		t.Errorf("on one line: %q", got)
	}
	if got := len(Clean(strings.Repeat("x", 1e6), 1)); got > maxClean+4 {
		t.Errorf("%d bytes are kept", got)
	}
}
