package intake

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// A form is what the history makes of a treat that the socket has sent.
type form func(t map[string]any)

// each changes the three texts of a treat.
func each(change func(string) string) form {
	return func(t map[string]any) {
		for _, name := range []string{"sender", "title", "message"} {
			if text, ok := t[name].(string); ok {
				t[name] = change(text)
			}
		}
	}
}

func without(name string) form { return func(t map[string]any) { delete(t, name) } }

func later(by time.Duration) form {
	return func(t map[string]any) {
		at, _ := time.Parse(time.DateTime, t["date_created"].(string))
		t["date_created"] = at.Add(by).Format(time.DateTime)
	}
}

func noEmoji(with string) func(string) string {
	return func(text string) string {
		var b strings.Builder
		for _, r := range text {
			if r > 0xffff {
				b.WriteString(with)
			} else {
				b.WriteRune(r)
			}
		}
		return b.String()
	}
}

// textForms are how texts may differ, and fieldForms what a treat may lack.
func textForms() map[string]form {
	return map[string]form{
		"emoji lost":            each(noEmoji("")),
		"emoji as ????":         each(noEmoji("????")),
		"emoji as one ?":        each(noEmoji("?")),
		"emoji as U+FFFD":       each(noEmoji("\ufffd")),
		"entities":              each(html.EscapeString),
		"PHP's entities":        each(strings.NewReplacer("&", "&amp;", "'", "&#039;", "<", "&lt;").Replace),
		"entities twice":        each(func(s string) string { return html.EscapeString(strings.ReplaceAll(s, "'", "&#039;")) }),
		"named entities":        each(strings.NewReplacer("&", "&amp;", "ë", "&euml;", "è", "&egrave;", "û", "&ucirc;", "é", "&eacute;").Replace),
		"backslashes":           each(strings.NewReplacer(`'`, `\'`, `"`, `\"`).Replace),
		"backslashes, twice":    each(strings.NewReplacer(`'`, `\\\'`, `"`, `\\\"`).Replace),
		"typographic":           each(strings.NewReplacer(`'`, "\u2019", `"`, "\u201c", "-", "\u2013").Replace),
		"typographic entities":  each(strings.NewReplacer(`'`, "&rsquo;", `"`, "&ldquo;", "-", "&ndash;").Replace),
		"upper case":            each(strings.ToUpper),
		"lower case":            each(strings.ToLower),
		"NFD":                   each(norm.NFD.String),
		"NFKC":                  each(norm.NFKC.String),
		"doubled blanks":        each(func(s string) string { return strings.ReplaceAll(s, " ", "  ") }),
		"no-break spaces":       each(func(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }),
		"no-break as an entity": each(func(s string) string { return strings.ReplaceAll(s, " ", "&nbsp;") }),
		"blanks around":         each(func(s string) string { return "  " + s + "\n" }),
	}
}

func fieldForms() map[string]form {
	forms := map[string]form{"message empty": func(t map[string]any) { t["message"] = "" }, "message null": func(t map[string]any) { t["message"] = nil }}
	for _, name := range []string{"sender", "sender_type", "receiver", "receiver_type", "title", "message"} {
		forms["without "+name] = without(name)
	}
	return forms
}

func dateForms() map[string]form {
	return map[string]form{
		"1 s later": later(time.Second), "1 s earlier": later(-time.Second), "2 s later": later(2 * time.Second), "2 s earlier": later(-2 * time.Second),
		"another zone": later(2 * time.Hour),
		"seconds :00":  func(t map[string]any) { t["date_created"] = t["date_created"].(string)[:17] + "00" },
		"no seconds":   func(t map[string]any) { t["date_created"] = t["date_created"].(string)[:16] },
	}
}

// anonymous is how senders may be written who are not named.
func anonymous() []form {
	return []form{
		func(t map[string]any) { t["sender"] = "Anonymous" }, func(t map[string]any) { t["sender"] = "anonymous" },
		func(t map[string]any) { t["sender"] = nil }, func(t map[string]any) { t["sender"] = "" }, without("sender"),
	}
}

// gift is the n-th treat, of a second after begin. Its number stays in each of its texts whatever form they take.
func gift(n int, begin time.Time, second int) map[string]any {
	return map[string]any{
		"sender": fmt.Sprintf("Zoë O'Hara <%d>", n), "sender_type": "twitch", "receiver": "me", "receiver_type": "user",
		"title": fmt.Sprintf("🍵 Crème \"brûlée\" & Tom's %d 🎉", n), "message": fmt.Sprintf("you're great, no. %d 💛 &c.", n),
		"date_created": begin.Add(time.Duration(second) * time.Second).UTC().Format(time.DateTime),
	}
}

func text(treat map[string]any, forms ...form) json.RawMessage {
	changed := maps.Clone(treat)
	for _, f := range forms {
		f(changed)
	}
	data, err := json.Marshal(changed)
	if err != nil {
		panic(err)
	}
	return data
}

// distorted is an account whose baseline is older than what is sent.
func (r *rig) distorted(begin time.Time) (*provider, *Intake, *Reconciler) {
	r.t.Helper()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{Logins: &logins{login: Login{"1", begin.Add(-time.Hour), true}}})
	r.reconcile(rec)
	return p, in, rec
}

// Ten treats in any one form are ten, whether they are in the history first or come live first, and when both have all of them.
func TestHistoryInAnyForm(t *testing.T) {
	type test struct{ live, history form }
	same := func(map[string]any) {}
	tests := make(map[string]test)
	for _, forms := range []map[string]form{textForms(), fieldForms(), dateForms()} {
		for name, f := range forms {
			tests[name] = test{same, f}
			tests["the socket: "+name] = test{f, same}
		}
	}
	for i, live := range anonymous() {
		for j, history := range anonymous() {
			tests[fmt.Sprintf("anonymous %d, %d", i, j)] = test{live, history}
		}
	}
	r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening().Truncate(time.Minute)
	for name, tt := range tests {
		for _, historyFirst := range []bool{false, true} {
			if historyFirst && strings.Contains(name, "another zone") {
				continue // what zones there are is not known before something came live
			}
			t.Run(fmt.Sprint(name, ", history first: ", historyFirst), func(t *testing.T) {
				p := &provider{}
				account := strings.Map(func(c rune) rune {
					if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", c) {
						return '_'
					}
					return c
				}, t.Name())
				in := r.intake(account)
				rec := r.reconciler(in, p, ReconcileConfig{Logins: &logins{login: Login{"1", begin.Add(-time.Hour), true}}})
				r.reconcile(rec)
				live := func() {
					for n := range 10 {
						r.live(in, text(gift(n, begin, 7*n), tt.live))
					}
				}
				if !historyFirst {
					live()
				}
				for n := range 10 {
					p.add(text(gift(n, begin, 7*n), tt.history))
				}
				if got := r.reconcile(rec); historyFirst && got.Healed != 10 || !historyFirst && got.Healed+got.Withheld > 0 {
					t.Errorf("%+v", got)
				}
				if historyFirst {
					live()
				}
				r.reconcile(rec)
				if err := in.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := len(r.journaled(account)); got != 10 {
					t.Errorf("%d events of 10 treats", got)
				}
			})
		}
	}
}

// Beyond the tolerance nothing is journaled from the history, and it is said, until it can be compared again.
func TestHistoryBeyondTolerance(t *testing.T) {
	other := func(s string) string { return strings.Repeat("x", len(s)) + s[:1] }
	begin := evening().Truncate(time.Minute).Add(3 * time.Second) // no date is of a whole minute
	for name, forms := range map[string][]form{
		"7 s later":             {later(7 * time.Second)},
		"37 minutes earlier":    {later(-37 * time.Minute)},
		"1 h and 7 s later":     {later(time.Hour + 7*time.Second)},
		"5 h 7 min earlier":     {later(-5*time.Hour - 7*time.Minute)},
		"other texts":           {each(other)},
		"other texts, 1 s":      {each(other), later(time.Second)},
		"nothing but the title": {without("sender"), without("message")},
		"other texts, :00":      {each(other), dateForms()["seconds :00"]},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigKept(t, t.TempDir(), 840*time.Hour)
			p, in, rec := r.distorted(begin)
			for n := range 10 {
				r.live(in, text(gift(n, begin, 20*n)))
				p.add(text(gift(n, begin, 20*n), forms...))
			}
			if got := r.reconcile(rec); got.Healed != 0 || got.Withheld != 10 || got.WithheldFrom.IsZero() {
				t.Errorf("%+v", got)
			}
			r.count("relay_reconcile_withheld_items", 10)
			p.treats = nil
			for n := range 12 { // as the socket writes them
				p.add(text(gift(n, begin, 20*n)))
			}
			if got := r.reconcile(rec); got.Healed != 2 || got.Withheld != 0 {
				t.Errorf("when it can be compared again: %+v", got)
			}
			r.count("relay_reconcile_withheld_items", 0)
		})
	}
	t.Run("one of ten", func(t *testing.T) {
		r := newRigKept(t, t.TempDir(), 840*time.Hour)
		p, in, rec := r.distorted(begin)
		for n := range 10 {
			r.live(in, text(gift(n, begin, 20*n)))
			if n == 5 {
				p.add(text(gift(n, begin, 20*n), each(other)))
			} else {
				p.add(text(gift(n, begin, 20*n)))
			}
		}
		p.add(text(gift(10, begin, 110)))
		if got := r.reconcile(rec); got.Healed != 1 || got.Withheld != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// The history is of another zone and has treats before they come live: they are the same, as soon as the zone shows, by dates of the future or by what came live
// before.
func TestHistoryOfAnotherZoneComesFirst(t *testing.T) {
	for _, shown := range []bool{false, true} {
		for _, shift := range []time.Duration{time.Hour, 5*time.Hour + 30*time.Minute, -4 * time.Hour} {
			if shift < 0 && !shown {
				continue // nothing shows it
			}
			begin := time.Now().Add(-3 * time.Minute).Truncate(time.Second)
			r := newRigKept(t, t.TempDir(), 840*time.Hour)
			p, in, rec := r.distorted(begin)
			for n := range 5 {
				p.add(text(gift(n, begin, 20*n), later(shift)))
				if shown {
					r.live(in, text(gift(n, begin, 20*n)))
				}
			}
			r.reconcile(rec)
			for n := 5; n < 9; n++ {
				p.add(text(gift(n, begin, 20*n), later(shift)))
			}
			r.reconcile(rec)
			for n := range 9 {
				if n >= 5 || !shown {
					r.live(in, text(gift(n, begin, 20*n)))
				}
			}
			r.reconcile(rec)
			if got := len(r.journaled("acc")); got != 9 {
				t.Errorf("a history of %v, shown before: %t: %d events of 9 treats", shift, shown, got)
			}
		}
	}
}

// The newest treat came just now, and its text in the history is another: it is not taken for a second one. One that was missed right before it is.
func TestHistoryOfTheNewestBeyondTolerance(t *testing.T) {
	begin := evening().Truncate(time.Minute).Add(3 * time.Second)
	for _, name := range []string{"title", "message", "sender"} {
		r := newRigKept(t, t.TempDir(), 840*time.Hour)
		p, in, rec := r.distorted(begin)
		for n := range 7 {
			r.live(in, text(gift(n, begin, 20*n)))
			forms := []form{}
			if n == 6 {
				forms = append(forms, func(t map[string]any) { t[name] = "something else" })
			}
			p.add(text(gift(n, begin, 20*n), forms...))
		}
		p.add(text(gift(8, begin, 112)))
		if got := r.reconcile(rec); got.Healed != 1 || got.Withheld != 1 {
			t.Errorf("another %s: %+v", name, got)
		}
	}
}

// In a burst the history was given before the newest of those that came live, and what was missed is of the same seconds: nothing waits.
func TestHistoryOfABurst(t *testing.T) {
	begin := evening().Truncate(time.Minute).Add(3 * time.Second)
	r := newRigKept(t, t.TempDir(), 840*time.Hour)
	p, in, rec := r.distorted(begin)
	for n := range 40 {
		same := func(t map[string]any) { t["sender"] = "Zoe" }
		if missed := n >= 20 && n < 30; !missed {
			r.live(in, text(gift(n, begin, n/10), same))
		}
		if n < 30 {
			p.add(text(gift(n, begin, n/10), same))
		}
	}
	if got := r.reconcile(rec); got.Healed != 10 || got.Withheld != 0 {
		t.Errorf("%+v", got)
	}
}

// What the provider sends twice, or for a test, hides nothing that was missed.
func TestLiveOnlyTreatsHideNothing(t *testing.T) {
	r, begin := newRigKept(t, t.TempDir(), 840*time.Hour), evening()
	p, in, rec := r.distorted(begin)
	for n := range 5 {
		r.live(in, text(gift(n, begin, n)))
		r.live(in, text(gift(n, begin, n)))
		p.add(text(gift(n, begin, n)))
	}
	p.add(text(gift(20, begin, 3)))
	for n := range 3 {
		r.live(in, text(map[string]any{"sender": "SYSTEM", "title": "A test", "date_created": begin.Add(time.Duration(n) * time.Second).UTC().Format(time.DateTime)}))
	}
	p.add(text(gift(21, begin, 60)))
	if got := r.reconcile(rec); got.Healed != 2 || got.Withheld != 0 {
		t.Errorf("%+v", got)
	}
}

// drawForms draws what the history makes of treats, within the tolerance.
func drawForms(t *rapid.T) (forms []form) {
	pick := func(label string, of map[string]form) {
		names := make([]string, 0, len(of))
		for name := range of {
			if name != "another zone" {
				names = append(names, name)
			}
		}
		if name := rapid.SampledFrom(append(sorted(names), "")).Draw(t, label); name != "" {
			forms = append(forms, of[name])
		}
	}
	pick("fields", fieldForms())
	pick("texts", textForms())
	pick("more texts", textForms())
	pick("date", dateForms())
	return forms
}
