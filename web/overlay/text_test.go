package overlay_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"github.com/treatrelay/relay/web/overlay"
)

func TestPictures(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) {
			s.Pictures = map[string]string{"Pizza": "p.png", "hot wings": "w.gif", "Triple chocolate Cake": "c.png"}
			s.MaxTime, s.MinTime = time.Second, time.Second
		})
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		cases := [][3]string{
			{"Large Pizza", "🍕", "p.png"},
			{"PIZZAS!", "🍕", "p.png"},
			{"pizzalike", "🎁", ""},
			{"chocolate cake", "🍰", ""},
			{"Ice  cream", "🍨", ""},
			{"Käsekuchen", "🎁", ""},
			{"Ein Käse", "🧀", ""},
			{"特上寿司", "🍣", ""},
			{"Cherries", "🍒", ""},
			{"hot wings", "🍗", "w.gif"},
			{"", "🎁", ""},
			{"Sandwiches", "🥪", ""},
			{"cup of coffee", "☕", ""},
			{"Tomatoes", "🍅", ""},
			{"a triple chocolate cake", "🍰", "c.png"},
			{"mac and cheese", "🍝", ""},
		}
		for _, c := range cases {
			must(t, st.Test(overlay.Text{Title: c[0]}))
		}
		wait(time.Minute)
		for n, s := range w.showings() {
			if c := cases[n]; s.Alert.Emoji != c[1] || s.Alert.File != c[2] {
				t.Errorf("%q: %s %q, want %s %q", c[0], s.Alert.Emoji, s.Alert.File, c[1], c[2])
			}
		}
	})
}

func TestTextsAreCleanAndShort(t *testing.T) {
	family := "👩\u200d👩\u200d👧\u200d👦"
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.HideWords, s.MaxTime = []string{"Dárn", "馬鹿"}, 3*time.Second })
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		must(t, st.Test(overlay.Text{Sender: "\u202eevil\u202c\x1b[31m", Title: strings.Repeat("x", 2000), Message: strings.Repeat(family, 2000)}))
		must(t, st.Test(overlay.Text{Sender: "DARN-it", Title: "darning", Message: "so d\u0301arn\u0301 この馬鹿者\n" + strings.Repeat("l\n", 50)}))
		must(t, st.Test(overlay.Text{Title: "z" + strings.Repeat("\u0337", 500)}))
		wait(time.Minute)
		a := w.showings()[0].Alert
		if a.Sender != "evil[31m" || uniseg.GraphemeClusterCount(a.Title) != 80 || !strings.HasSuffix(a.Title, "x…") {
			t.Errorf("texts: %q %q", a.Sender, a.Title)
		}
		if n := uniseg.GraphemeClusterCount(a.Message); n != 300 || !strings.HasSuffix(a.Message, family+"…") {
			t.Errorf("the message has %d graphemes", n)
		}
		a = w.showings()[1].Alert
		if a.Sender != "****-it" || a.Title != "darning" || !strings.HasPrefix(a.Message, "so **** *****\nl\nl") || strings.Count(a.Message, "\n") > 5 {
			t.Errorf("texts: %q %q %q", a.Sender, a.Title, a.Message)
		}
		if a = w.showings()[2].Alert; !a.Anonymous || len([]rune(a.Title)) != 5 {
			t.Errorf("texts: %+v", a)
		}
	})
}

// A hidden word may have symbols. It is hidden as it is, and its letters alone are not.
func TestHideWords(t *testing.T) {
	for _, c := range []struct {
		hide     []string
		from, to string
	}{
		{[]string{"a$$", "@ss", "c++"}, "a$$ @ss / I have a cat. You are an A$$! Vitamin C", "*** *** / I have a cat. You are an ***! Vitamin C"},
		{[]string{"a$$"}, "a$$hole ba$$ a$$ \u00c4$$ a$$$ a$", "a$$hole ba$$ *** *** ***$ a$"},
		{[]string{"c++", "c"}, "c++ c c# c++11 ｃ＋＋", "*** * *# *++11 ***"},
		{[]string{"+c", "+c+"}, "+c+ +c", "*** **"},
		{[]string{"#é"}, "#e\u0301 #E #e\u0301x", "** ** #e\u0301x"},
		{[]string{"σοφός"}, "σοφος ΣΟΦΟΣ ΣΟΦΌΣ σοφόσ", "***** ***** ***** *****"},
		{[]string{"straße"}, "STRASSE Straße STRAẞE strasse", "******* ****** ****** *******"},
		{[]string{"strasse"}, "Straße", "******"},
		{[]string{"***"}, "*** **", "*** **"},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			st := w.run(func(s *overlay.Settings) { s.HideWords = c.hide })
			w.open(st, overlay.PageRequest{ID: "p"}, nil)
			must(t, st.Test(overlay.Text{Sender: "x", Title: c.from, Message: c.from}))
			wait(time.Minute)
			if a := w.showings()[0].Alert; a.Title != c.to || a.Message != c.to {
				t.Errorf("%q without %q: %q, %q, want %q", c.from, c.hide, a.Title, a.Message, c.to)
			}
		})
	}
}

// What browsers refuse in Intl is a fault, and what they accept is not.
func TestLanguageTags(t *testing.T) {
	for tag, ok := range map[string]bool{
		"en": true, "pt-BR": true, "zh-Hant-TW": true, "es-419": true, "de-CH-1996": true, "sl-rozaj-biske": true, "ast": true, "ar-u-nu-latn": true, "EN-gb": true,
		"pt-BRA": false, "es-MEX": false, "de-1": false, "fr-x": false, "de-GER": false, "en-": false, "en-GB-GB": false, "english": false, "x": false,
		"de-1996-1996": false, "de-u": false, "en_GB": false, "de-AT-Latn": false, "": false,
	} {
		s := overlay.NewSettings()
		s.Locale = tag
		if err := s.Check(); (err == nil) != ok {
			t.Errorf("locale %q: %v", tag, err)
		}
	}
}

func TestSettingsFaults(t *testing.T) {
	for key, change := range map[string]func(*overlay.Settings){
		"widgets":         func(s *overlay.Settings) { s.Widgets = nil },
		"position.x":      func(s *overlay.Settings) { s.Position.X = -1 },
		"position.width":  func(s *overlay.Settings) { s.Position.X, s.Position.Width = 50, 60 },
		"position.align":  func(s *overlay.Settings) { s.Position.Align = "top" },
		"pictures.pizza ": func(s *overlay.Settings) { s.Pictures = map[string]string{"Pizza": "a.png", "pizza ": "b.png"} },
		"hide_words[0]":   func(s *overlay.Settings) { s.HideWords = []string{" "} },
		"pictures.pizza":  func(s *overlay.Settings) { s.Pictures = map[string]string{"pizza": "../secret.png"} },
		"locale":          func(s *overlay.Settings) { s.Locale = "<b>" },
		"max_time":        func(s *overlay.Settings) { s.MaxTime = time.Second },
		"sound":           func(s *overlay.Settings) { s.Sound = "bell" },
		"speech_language": func(s *overlay.Settings) { s.SpeechLanguage = "English!" },
		"hide_words[1]":   func(s *overlay.Settings) { s.HideWords = []string{"one", "two words"} },
	} {
		s := overlay.NewSettings()
		change(&s)
		var fault *overlay.SettingError
		if err := s.Check(); !errors.As(err, &fault) || fault.Key != key || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, ok := range []func(*overlay.Settings){
		func(s *overlay.Settings) { s.Sound = "ding.ogg" },
		func(s *overlay.Settings) { s.Pictures = map[string]string{"default": "box.svg"} },
		func(s *overlay.Settings) { s.HideWords = []string{"a$$", "@ss", "c++", "don't", "馬鹿"} },
	} {
		settings(t, ok)
	}
	for overlayName, ok := range map[string]bool{"main": true, "a-b_c1": true, "A": false, "_a": false, "": false, "a.b": false, "../x": false, strings.Repeat("x", 64): false} {
		if err := overlay.CheckName(overlayName); (err == nil) != ok {
			t.Errorf("name %q: %v", overlayName, err)
		}
	}
}
