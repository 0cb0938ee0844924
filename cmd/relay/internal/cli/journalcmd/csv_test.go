package journalcmd

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

// CSV keeps every text that viewers write, and no cell begins a formula.
func TestCSV(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "Pizza": "Pizza", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1",
		"a=1": "a=1", "'=1": "'=1", "a,b": "a,b", "say \"hi\"": "say \"hi\"", "two\nlines": "two\nlines", "🍕,\u2028": "🍕,\u2028", " x ": " x ", `\.`: `\.`,
		" =1": "' =1", "\n=1": "'\n=1", "\x00=1": "'\x00=1", "\ufeff=1": "'\ufeff=1", "\uff1d1": "'\uff1d1", "\uff0b1": "'\uff0b1", "\uff0d1": "'\uff0d1",
		"\uff20A": "'\uff20A", "\u22121": "'\u22121", "\u00a0 =1": "'\u00a0 =1", "\u3000=1": "'\u3000=1", "\u2028=1": "'\u2028=1", "\u2029 +1": "'\u2029 +1", "\u200b=1": "'\u200b=1", "\x85=1": "'\x85=1",
		"\nPizza": "'\nPizza", " \t=1": "' \t=1", "1 = 1": "1 = 1", "  Pizza -1": "  Pizza -1", "\U0001f44b\u200d=": "\U0001f44b\u200d=",
	} {
		if got := csvText(&text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		var b strings.Builder
		if err := writeCSV(&b, []string{want, "x", want}); err != nil {
			t.Fatal(err)
		}
		line, ended := strings.CutSuffix(b.String(), "\r\n")
		rows, err := csv.NewReader(strings.NewReader(line)).ReadAll()
		if err != nil || !ended || len(rows) != 1 || !slices.Equal(rows[0], []string{want, "x", want}) {
			t.Errorf("%q is written as %q (%v)", want, b.String(), err)
		}
	}
	var b strings.Builder
	if err := writeCSV(&b, []string{"a\r\nb", "c\rd"}); err != nil || b.String() != "\"a\r\nb\",\"c\rd\"\r\n" {
		t.Errorf("%q (%v)", b.String(), err)
	}
	if got := csvText(nil); got != "" {
		t.Errorf("null becomes %q", got)
	}
}
