package chattext

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"github.com/treatrelay/relay/internal/displaytext"
)

func TestFit(t *testing.T) {
	family := "👩\u200d👩\u200d👧\u200d👦" // 11 units
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"enjoy", 5, "enjoy"},
		{"enjoy!", 5, "enjo…"},
		{"a b c", 3, "a…"},
		{"🍕🍕🍕", 6, "🍕🍕🍕"},
		{"🍕🍕🍕", 5, "🍕🍕…"},
		{"🍕🍕🍕", 4, "🍕…"},
		{"e\u0301e\u0301e\u0301", 5, "e\u0301e\u0301…"},
		{"e\u0301e\u0301e\u0301", 4, "e\u0301…"},
		{family + family, 22, family + family},
		{family + family, 21, family + "…"},
		{family + family, 11, "…"},
		{"🇫🇷🇩🇪", 7, "🇫🇷…"},
		{"", 1, ""},
	} {
		if got := Fit(c.text, c.limit, Verbatim); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
	if got, want := Fit("****", 7, EscapeMarkdown), `\*\*\*…`; got != want {
		t.Errorf("fit = %q, want %q", got, want)
	}
	if got, want := Fit("<<<<", 12, EscapeMrkdwn), "&lt;&lt;…"; got != want {
		t.Errorf("fit = %q, want %q", got, want)
	}
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ text, markdown, mrkdwn string }{
		{"Pizza & Coke", "Pizza & Coke", "Pizza &amp; Coke"},
		{"*a* _b_ ~c~ `d`", "\\*a\\* \\_b\\_ \\~c\\~ \\`d\\`", "∗a∗ ＿b＿ ∼c∼ ˋdˋ"},
		{"cool_guy_99", `cool\_guy\_99`, "cool_guy_99"},
		{"||x||", `\|\|x\|\|`, "||x||"},
		{"<@1> <#2> <t:3:R> <:x:4> </y:5>", `\<\@1\> \<\#2\> \<t\:3\:R\> \<\:x\:4\> \</y\:5\>`, "&lt;@1&gt; &lt;#2&gt; &lt;t:3:R&gt; &lt;:x:4&gt; &lt;/y:5&gt;"},
		{"@everyone", `\@everyone`, "@everyone"},
		{"[x](https://e)", `\[x\](https\://e)`, "[x](https://e)"},
		{"# a\n- b\n+ c\n1. d\n12) e\n>>> f\n-# g", "\\# a\n\\- b\n\\+ c\n1\\. d\n12\\) e\n\\>\\>\\> f\n\\-\\# g", "# a\n- b\n+ c\n1. d\n12) e\n››› f\n-# g"},
		{"a-b c+d 3.14 x1. (1)", "a-b c+d 3.14 x1. (1)", "a-b c+d 3.14 x1. (1)"},
		{`\@everyone`, `\\\@everyone`, `\@everyone`},
	} {
		if got := EscapeMarkdown(c.text); got != c.markdown {
			t.Errorf("escapeMarkdown(%q) = %q, want %q", c.text, got, c.markdown)
		}
		if got := EscapeMrkdwn(c.text); got != c.mrkdwn {
			t.Errorf("escapeMrkdwn(%q) = %q, want %q", c.text, got, c.mrkdwn)
		}
	}
}

// maxDescription is what Discord takes of a description.
const maxDescription = 4096

func TestTemplateFaults(t *testing.T) {
	for text, want := range map[string]string{
		"{{.Sender}}": "",
		`{{with .Message}}{{.}}{{else}}{{or .Sender "x"}}{{end}}{{range 2}}{{.}}{{end}}`: "",
		"{{.Sendr}}":                                           "1:3: .Sendr: there is no such field; known: .ID .Account .Provider .Sender",
		"a\nbc {{if .Sender}}{{.Foo}}{{end}}":                  "2:20: .Foo: there is no such field",
		"{{if .Anonymous}}{{.Foo}}{{end}}":                     "1:20: .Foo: there is no such field",
		"hi {{foo .Sender}} {{.X":                              `1:4: function "foo" not defined`,
		"{{.Title}} {{if .Sender}}":                            "1:12: an {{if}}, {{with}} or {{range}} has no {{end}}",
		"é{{end}}":                                             "1:2: unexpected {{end}}",
		"{{.Sender":                                            "1:1: unclosed action",
		"{{.Title}}{{index .Message 99}}":                      "1:13: index .Message 99: error calling index: index out of range",
		"{{template \"x\"}}":                                   "1:12: ",
		strings.Repeat("x", maxDescription+1):                  "1:1: makes 4097 characters of an ordinary treat",
		"{{define \"x\"}}{{.Nope}}{{end}}{{template \"x\" .}}": "1:17: .Nope: there is no such field",
	} {
		_, err := NewTemplate(text, maxDescription, EscapeMarkdown)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestTemplateEscapes tries ways for a value to bypass the escape.
func TestTemplateEscapes(t *testing.T) {
	for text, want := range map[string]string{
		"**{{.Sender}}**":                                        `**\*a\***`,
		"{{printf \"%v\" .Sender}}":                              `\*a\*`,
		"{{printf \"%#v\" .Sender}}":                             `"\*a\*"`,
		"{{.Sender | print | print}}":                            `\*a\*`,
		"{{$s := .Sender}}{{$s}}{{$s = .Title}}{{$s}}":           `\*a\*\# t`,
		"{{if .Sender}}{{.Sender}}{{end}}":                       `\*a\*`,
		"{{with .Sender}}{{.}}{{else with .Title}}{{end}}":       `\*a\*`,
		"{{if not .Sender}}{{else if .Title}}{{.Title}}{{end}}":  `\# t`,
		"{{range 1}}{{$.Sender}}{{else}}{{end}}":                 `\*a\*`,
		"{{define \"x\"}}{{.}}{{end}}{{template \"x\" .Sender}}": `\*a\*`,
		"{{block \"y\" .Sender}}{{.}}{{end}}":                    `\*a\*`,
		"{{if .Sender}}{{slice .Sender 0 2}}{{end}}":             `\*a`,
		"{{.}}": "",
	} {
		tmpl, err := NewTemplate(text, maxDescription, EscapeMarkdown)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := tmpl.Render(Treat{Sender: "*a*", Title: "# t", Message: "m"})
		if err != nil || want != "" && got != want || strings.Contains(got, " *a*") {
			t.Errorf("%s gives %q, want %q: %v", text, got, want, err)
		}
	}
}

// FuzzClean wants what is shown of any text to be harmless, and cleaning to be done once for all.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"enjoy!", "a\r\n\r\n\u200db", "z\u0337\u0337\u0337\u0337\u0337\u0337", "👩\u200d👩\u200d👧", "\u202e\xff\U000e0041", "🏴\U000e0067\U000e007f", "می\u200cخ"} {
		f.Add(s, 3)
	}
	bad := regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f-\x{9f}\x{ad}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]|[\p{Mn}\p{Me}]{5}|\n\n\n|  |\n | \n|^\s|\s$`)
	f.Fuzz(func(t *testing.T, text string, lines int) {
		lines = max(1, lines%50)
		got := displaytext.Clean(text, lines)
		if again := displaytext.Clean(got, lines); again != got {
			t.Errorf("clean(%q) = %q, and of that %q", text, got, again)
		}
		if found := bad.FindString(got); found != "" || !utf8.ValidString(got) || strings.Count(got, "\n") >= lines {
			t.Errorf("clean(%q, %d) = %q has %q", text, lines, got, found)
		}
	})
}

// FuzzFit wants a text within its limit that ends between grapheme clusters, and an escape that can be undone.
func FuzzFit(f *testing.F) {
	for _, s := range []string{"enjoy!", "**a** <@1> & [x](y)", "👩\u200d👩\u200d👧 e\u0301", "1. a\n> b\n- c", "🇫🇷🇩🇪", `\\\`, "a_b _c_"} {
		f.Add(s, 7)
	}
	shown := regexp.MustCompile(`\\([^0-9A-Za-z\s])`)
	entity := strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")
	likeness := strings.NewReplacer("∗", "*", "＿", "_", "∼", "~", "ˋ", "`", "›", ">")
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(1, limit%500)
		text = displaytext.Clean(text, MaxLines)
		if got := shown.ReplaceAllString(EscapeMarkdown(text), "$1"); got != text {
			t.Errorf("Discord shows %q, want %q", got, text)
		}
		if got := likeness.Replace(entity.Replace(EscapeMrkdwn(text))); got != likeness.Replace(text) {
			t.Errorf("Slack shows %q, want %q", got, text)
		}
		for name, escape := range map[string]func(string) string{"verbatim": Verbatim, "markdown": EscapeMarkdown, "mrkdwn": EscapeMrkdwn} {
			got := Fit(text, limit, escape)
			if Units(got) > limit || !utf8.ValidString(got) {
				t.Errorf("%s: fit(%q, %d) = %q", name, text, limit, got)
			}
			if got == escape(text) {
				continue
			}
			kept, cut := strings.CutSuffix(got, ellipsis)
			ok := false
			for rest, state, end := text, -1, 0; cut && !ok; { // Is it the escape of some clusters?
				ok = strings.TrimRight(kept, " \n") == strings.TrimRight(escape(strings.TrimRight(text[:end], " \n")), " \n")
				if rest == "" {
					break
				}
				var cluster string
				cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
				end += len(cluster)
			}
			if !ok {
				t.Errorf("%s: fit(%q, %d) = %q", name, text, limit, got)
			}
		}
	})
}

// FuzzTemplate wants no template to bring relay down, nor to get a value past the escape.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{.Sender}}", "{{if .Title}}{{.}}{{end}}", "{{range 3}}{{$.Message}}{{end}}", "{{printf \"%q\" .}}", "{{define \"a\"}}{{end}}", "{{/*x*/ -}}"} {
		f.Add(s, "*x*")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if strings.Contains(text, "template") || strings.Contains(text, "block") || strings.Contains(text, "range") {
			return // An operator may write an endless recursion or loop.
		}
		tmpl, err := NewTemplate(text, 300, EscapeMarkdown)
		if err != nil {
			if !regexp.MustCompile(`^[0-9]+:[0-9]+: `).MatchString(err.Error()) {
				t.Errorf("%q: no place in %q", text, err)
			}
			return
		}
		value = displaytext.Clean(value, MaxLines)
		got, err := tmpl.Render(Treat{Sender: value, Title: value, Message: value})
		if err == nil && Units(got) > 300 {
			t.Errorf("%q makes %d characters", text, Units(got))
		}
	})
}
