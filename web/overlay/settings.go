package overlay

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/treatrelay/relay/web/overlay/alerttext"
)

// Settings configure one overlay: its section overlays.NAME in relay.yaml. The tags value, min, max and off, the words of the types and the first
// paragraph of each comment are those of a key of the configuration, which reads the settings and checks them against all these.
type Settings struct {
	// The accounts with the treats that the overlay shows.
	//
	// Default: all.
	Accounts []string `yaml:"accounts" value:"list of names"`
	Look     `yaml:",inline"`
	Timing   `yaml:",inline"`
	Audio    `yaml:",inline"`
	// Words that the overlay replaces by asterisks in any case, with or without accents.
	HideWords []string `yaml:"hide_words"`
	// Whether the overlay shows the test treats of `relay trigger`.
	Tests Tests `yaml:"tests"`
}

// Look is how an overlay looks.
type Look struct {
	// The look. `custom`: your own, from `custom.html` and `custom.css` in the overlay's folder.
	Theme Theme `yaml:"theme"`
	// The parts of the page: alert box, recent treats, counter.
	//
	// Default: `[alerts]`.
	Widgets []Widget `yaml:"widgets"`
	// The box with the alerts.
	Position Layout `yaml:"position"`
	// A picture in the overlay's folder for each word, or several in a row, that the title of a treat may have, such as `{pizza: pizza.png}`. `default` stands
	// for all other titles.
	//
	// Default: emoji that relay chooses.
	Pictures map[string]string `yaml:"pictures" value:"words with names of png, jpg, gif, webp, avif or svg files"`
	// The counter of treats.
	Goal Goal `yaml:"goal"`
	// The language of relay's own words on screen.
	Locale string `yaml:"locale" value:"language tag such as 'pt-BR'"`
}

// Layout is a place on the page. The numbers are percentages of its width and height.
type Layout struct {
	// The left edge of the alert box, in percent of the page's width.
	X int `yaml:"x" json:"x" min:"0" max:"95"`
	// The top edge of the alert box, in percent of the page's height.
	Y int `yaml:"y" json:"y" min:"0" max:"95"`
	// The width of the alert box, in percent of the page's width.
	Width int `yaml:"width" json:"width" min:"5" max:"100"`
	// The height of the alert box, in percent of the page's height.
	Height int `yaml:"height" json:"height" min:"5" max:"100"`
	// Where in the box an alert is.
	Align Align `yaml:"align" json:"align"`
}

// Goal is a number of treats to reach.
type Goal struct {
	// How many treats the counter counts towards. `0`: it shows no goal.
	Count int `yaml:"count" json:"count" min:"0"`
	// The time in which the counter counts.
	Period Period `yaml:"period" json:"period"`
	// The caption of the counter.
	Text string `yaml:"text" json:"text"`
}

// Timing is how long alerts stay.
type Timing struct {
	// How long an alert stays when five or more treats wait.
	MinTime time.Duration `yaml:"min_time" min:"1s" max:"1h"`
	// How long an alert stays when no treat waits.
	MaxTime time.Duration `yaml:"max_time" min:"1s" max:"1h"`
	// How many treats may wait. If there are more, one alert stands for those beyond: "and 12 more treats". `0`: no limit.
	MergeAfter int `yaml:"merge_after" min:"0" max:"999"`
	// How old a treat may be when the overlay shows it as new. `off`: no limit.
	MaxAge time.Duration `yaml:"max_age" min:"1s" off:"0"`
}

// Audio is what an overlay plays.
type Audio struct {
	// The sound of an alert: one of relay's own, none, or a file in the overlay's folder.
	Sound string `yaml:"sound" value:"'chime', 'pop', 'none', or the name of a wav, mp3, ogg or m4a file"`
	// How loud sound and speech are.
	Volume int `yaml:"volume" min:"0" max:"100"`
	// Whether the browser reads each alert aloud.
	Speech bool `yaml:"speech"`
	// The language of its voice.
	//
	// Default: the one of `locale`.
	SpeechLanguage string `yaml:"speech_language" value:"language tag such as 'en-GB'"`
}

// Theme is a look of an overlay.
type Theme string

// Words returns all themes.
func (Theme) Words() []string { return []string{ThemeClean, ThemePop, ThemeNight, ThemeCustom} }

// Widget is a part of an overlay page.
type Widget string

// Words returns all widgets.
func (Widget) Words() []string { return []string{WidgetAlerts, WidgetTicker, WidgetCounter} }

// Period is the time in which the counter counts.
type Period string

// Words returns all periods.
func (Period) Words() []string { return []string{PeriodToday, PeriodStream, PeriodMonth} }

// Tests is what happens to test treats.
type Tests string

// Words returns both choices.
func (Tests) Words() []string { return []string{TestsShow, TestsSkip} }

// Align is where in its box an alert is.
type Align string

// Words returns all places.
func (Align) Words() []string { return []string{AlignLeft, AlignCenter, AlignRight} }

// What the settings can be.
const (
	ThemeClean  = "clean"
	ThemePop    = "pop"
	ThemeNight  = "night"
	ThemeCustom = "custom"

	WidgetAlerts  = "alerts"
	WidgetTicker  = "ticker"
	WidgetCounter = "counter"

	SoundChime = "chime"
	SoundPop   = "pop"
	SoundNone  = "none"

	PeriodToday  = "today"
	PeriodStream = "stream"
	PeriodMonth  = "month"

	TestsShow = "show"
	TestsSkip = "skip"

	AlignLeft   = "left"
	AlignCenter = "center"
	AlignRight  = "right"
)

// NewSettings returns the defaults.
func NewSettings() Settings {
	return Settings{
		Look: Look{
			Theme: ThemeClean, Widgets: []Widget{WidgetAlerts}, Locale: "en", Goal: Goal{Period: PeriodToday},
			Position: Layout{X: 20, Y: 6, Width: 60, Height: 44, Align: AlignCenter},
		},
		Timing: Timing{MinTime: 3 * time.Second, MaxTime: 8 * time.Second, MergeAfter: 10, MaxAge: 10 * time.Minute},
		Audio:  Audio{Sound: SoundChime, Volume: 60},
		Tests:  TestsShow,
	}
}

// SettingError is a fault of one setting.
type SettingError struct {
	Key string // such as position.x, pictures.pizza or hide_words[2]
	Err error
}

// Error implements error.
func (e *SettingError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *SettingError) Unwrap() error { return e.Err }

// faults collects [SettingError]s.
type faults []error

// want adds a fault unless ok.
func (f *faults) want(ok bool, key, format string, args ...any) {
	if !ok {
		*f = append(*f, &SettingError{key, fmt.Errorf(format, args...)})
	}
}

// shows reports whether the overlay shows the treats of an account. An empty account is that of a test.
func (s *Settings) shows(account string) bool {
	return account == "" || len(s.Accounts) == 0 || slices.Contains(s.Accounts, account)
}

// opensFor reports whether a key for an account opens the overlay: if it shows the treats of that account alone. An empty account means all.
func (s *Settings) opensFor(account string) bool {
	return account == "" || slices.Equal(s.Accounts, []string{account})
}

// Check returns the faults that the types and tags of the keys do not exclude, each as a [SettingError], joined.
func (s *Settings) Check() error {
	var f faults
	s.Look.check(&f)
	f.want(s.MaxTime >= s.MinTime, "max_time", "%v is shorter than min_time (%v)", s.MaxTime, s.MinTime)
	s.Audio.check(&f)
	for i, w := range s.HideWords {
		f.want(alerttext.Fold(w) != "" && !strings.ContainsFunc(w, unicode.IsSpace), fmt.Sprintf("hide_words[%d]", i), "%q is not one word; write each word on its own", w)
	}
	return errors.Join(f...)
}

func (l *Look) check(f *faults) {
	f.want(len(l.Widgets) > 0, "widgets", "is empty; use alerts, ticker, counter")
	l.Position.check(f)
	first := map[string]string{}
	for _, word := range slices.Sorted(maps.Keys(l.Pictures)) {
		key, file := "pictures."+word, l.Pictures[word]
		f.want(len(alerttext.Words(word)) > 0, key, "%q has no letter; use a word of the title", word)
		same := strings.Join(alerttext.Words(word), " ")
		f.want(same == "" || first[same] == "", key, "is the same word as %q; keep one of the two", first[same])
		first[same] = word
		f.want(isFile(file), key, "%q is not the name of a file; put it in the overlay's folder and write only its name", file)
		f.want(!isFile(file) || mediaType(file).picture, key, "%q is not a picture; use png, jpg, gif, webp, avif or svg", file)
	}
	f.want(isLanguage(l.Locale), "locale", "%q is not a language tag; write it as in en or pt-BR", l.Locale)
}

// Check returns a [SettingError] for each number that puts the box outside the page, and for an unknown alignment, joined.
func (l Layout) Check() error {
	var f faults
	l.check(&f)
	return errors.Join(f...)
}

func (l Layout) check(f *faults) {
	for _, v := range []struct {
		key              string
		value, low, high int
	}{{"x", l.X, 0, 95}, {"y", l.Y, 0, 95}, {"width", l.Width, 5, 100 - l.X}, {"height", l.Height, 5, 100 - l.Y}} {
		high := min(max(v.high, v.low), 100) // where x or y is wrong too
		f.want(v.low <= v.value && v.value <= high, "position."+v.key, "%d%% is outside the page; use %d to %d", v.value, v.low, high)
	}
	f.want(slices.Contains(l.Align.Words(), string(l.Align)), "position.align", "%q is unknown; use %s", l.Align, strings.Join(l.Align.Words(), ", "))
}

func (a *Audio) check(f *faults) {
	if a.soundFile() != "" {
		f.want(isFile(a.Sound) && mediaType(a.Sound).sound, "sound",
			"%q is neither chime, pop, none nor a sound; put a wav, mp3, ogg or m4a in the overlay's folder and write only its name", a.Sound)
	}
	f.want(a.SpeechLanguage == "" || isLanguage(a.SpeechLanguage), "speech_language", "%q is not a language tag; write it as in en-GB", a.SpeechLanguage)
}

// soundFile is the file of the sound, or empty if it is one of relay's own.
func (a *Audio) soundFile() string {
	if slices.Contains([]string{SoundChime, SoundPop, SoundNone}, a.Sound) {
		return ""
	}
	return a.Sound
}

// CheckName returns an error unless name can be that of an overlay: it is a part of a URL, of a key of the state, and the
// name of a folder.
func CheckName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`).MatchString(name) {
		return fmt.Errorf("%q cannot be the name of an overlay: a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit", name)
	}
	return nil
}

// isFile reports whether name names a file in a folder, and nothing beyond.
func isFile(name string) bool {
	return name != "" && len(name) <= 200 && name == path.Base(name) && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, "\\:\x00")
}

// isLanguage reports whether tag is a language tag that browsers accept: a language, maybe a script, a region, different variants and Unicode
// extensions. Intl throws an exception for others, such as pt-BRA.
func isLanguage(tag string) bool {
	form := regexp.MustCompile(`(?i)^[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?((-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)(-u(-[a-z0-9][a-z](-[a-z0-9]{3,8})*)+)?$`)
	parts := form.FindStringSubmatch(tag)
	if parts == nil {
		return false
	}
	variants := strings.Split(strings.ToLower(parts[4]), "-")[1:]
	slices.Sort(variants)
	return len(slices.Compact(slices.Clone(variants))) == len(variants)
}
