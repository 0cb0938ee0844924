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
)

// Settings configure one overlay: what is under overlays.NAME in relay.yaml.
type Settings struct {
	// Accounts (yaml: accounts) are the accounts whose treats are shown. Empty: all.
	Accounts []string `yaml:"accounts"`
	Look     `yaml:",inline"`
	Timing   `yaml:",inline"`
	Audio    `yaml:",inline"`
	// HideWords (yaml: hide_words) are words that are replaced by asterisks, in any case and with or without accents.
	HideWords []string `yaml:"hide_words"`
	// Tests (yaml: tests) is show or skip: whether test treats of "relay trigger" are shown. Default: show.
	Tests string `yaml:"tests"`
}

// Look is how an overlay looks.
type Look struct {
	// Theme (yaml: theme) is clean, pop, night or custom. custom reads custom.html and custom.css from the overlay's
	// folder. Default: clean.
	Theme string `yaml:"theme"`
	// Widgets (yaml: widgets) are any of alerts, ticker and counter. Default: alerts.
	Widgets []string `yaml:"widgets"`
	// Position (yaml: position) is where the box is.
	Position Layout `yaml:"position"`
	// Pictures (yaml: pictures) are files in the overlay's folder by a word in the title of a treat. The word default
	// stands for all others.
	Pictures map[string]string `yaml:"pictures"`
	// Goal (yaml: goal) is what the counter counts towards.
	Goal Goal `yaml:"goal"`
	// Locale (yaml: locale) is the language of relay's own words on screen, as in en or pt-BR. Default: en.
	Locale string `yaml:"locale"`
}

// Layout is a place on the page. The numbers are percentages of its width and height.
type Layout struct {
	X      int `yaml:"x" json:"x"`
	Y      int `yaml:"y" json:"y"`
	Width  int `yaml:"width" json:"width"`
	Height int `yaml:"height" json:"height"`
	// Align (yaml: align) is left, center or right: where in its box an alert is.
	Align string `yaml:"align" json:"align"`
}

// Goal is a number of treats to reach.
type Goal struct {
	// Count (yaml: count) is the number. 0: the counter shows no goal.
	Count int `yaml:"count" json:"count"`
	// Period (yaml: period) is today, stream or month: what the counter counts. Default: today.
	Period string `yaml:"period" json:"period"`
	// Text (yaml: text) is the caption of the counter.
	Text string `yaml:"text" json:"text"`
}

// Timing is how long alerts stay.
type Timing struct {
	// MaxTime (yaml: max_time) is how long an alert stays when no other waits, MinTime (yaml: min_time) when five or more
	// wait. Defaults: 8s and 3s.
	MinTime time.Duration `yaml:"min_time"`
	MaxTime time.Duration `yaml:"max_time"`
	// MergeAfter (yaml: merge_after) is how many treats wait at most; one alert stands for those beyond. 0: no limit.
	// Default: 10.
	MergeAfter int `yaml:"merge_after"`
	// MaxAge (yaml: max_age) is the age at which a treat is not shown any more. 0: no limit. Default: 10m.
	MaxAge time.Duration `yaml:"max_age"`
}

// Audio is what an overlay plays.
type Audio struct {
	// Sound (yaml: sound) is chime, pop, none or a file in the overlay's folder. Default: chime.
	Sound string `yaml:"sound"`
	// Volume (yaml: volume) is that of sound and speech, 0 to 100. Default: 60.
	Volume int `yaml:"volume"`
	// Speech (yaml: speech) makes the browser read each alert aloud. Default: false.
	Speech bool `yaml:"speech"`
	// SpeechLanguage (yaml: speech_language) selects its voice, as in en-GB. Default: that of the locale.
	SpeechLanguage string `yaml:"speech_language"`
}

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
			Theme: ThemeClean, Widgets: []string{WidgetAlerts}, Locale: "en", Goal: Goal{Period: PeriodToday},
			Position: Layout{X: 20, Y: 6, Width: 60, Height: 44, Align: AlignCenter},
		},
		Timing: Timing{MinTime: 3 * time.Second, MaxTime: 8 * time.Second, MergeAfter: 10, MaxAge: 10 * time.Minute},
		Audio:  Audio{Sound: SoundChime, Volume: 60},
		Tests:  TestsShow,
	}
}

// SettingError is a fault of one setting.
type SettingError struct {
	Key string // as in position.x
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

// oneOf adds a fault unless value is among the known ones.
func (f *faults) oneOf(key, value string, known ...string) {
	f.want(slices.Contains(known, value), key, "%q is unknown; use %s", value, strings.Join(known, ", "))
}

// Check returns every fault as a [SettingError], joined.
func (s *Settings) Check() error {
	var f faults
	s.Look.check(&f)
	s.Timing.check(&f)
	s.Audio.check(&f)
	for _, w := range s.HideWords {
		f.want(len(words(w)) == 1, "hide_words", "%q is not one word; write each word on its own", w)
	}
	f.oneOf("tests", s.Tests, TestsShow, TestsSkip)
	return errors.Join(f...)
}

func (l *Look) check(f *faults) {
	f.oneOf("theme", l.Theme, ThemeClean, ThemePop, ThemeNight, ThemeCustom)
	f.want(len(l.Widgets) > 0, "widgets", "is empty; use alerts, ticker, counter")
	for _, w := range l.Widgets {
		f.oneOf("widgets", w, WidgetAlerts, WidgetTicker, WidgetCounter)
	}
	if err := l.Position.Check(); err != nil {
		*f = append(*f, err)
	}
	for _, word := range slices.Sorted(maps.Keys(l.Pictures)) {
		f.want(len(words(word)) > 0, "pictures", "%q has no letter; use a word of the title", word)
		file := l.Pictures[word]
		f.want(isFile(file), "pictures", "%q is not the name of a file; put it in the overlay's folder and write only its name", file)
		f.want(!isFile(file) || mediaType(file).picture, "pictures", "%q is not a picture; use png, jpg, gif, webp, avif or svg", file)
	}
	f.want(l.Goal.Count >= 0, "goal.count", "%d is negative; use 0 for no goal", l.Goal.Count)
	f.oneOf("goal.period", l.Goal.Period, PeriodToday, PeriodStream, PeriodMonth)
	f.want(isLanguage(l.Locale), "locale", "%q is not a language tag; write it as in en or pt-BR", l.Locale)
}

// Check returns a [SettingError] if the layout is not within the page.
func (l Layout) Check() error {
	var f faults
	for _, v := range []struct {
		key               string
		value, start, low int
	}{{"x", l.X, 0, 0}, {"y", l.Y, 0, 0}, {"width", l.Width, l.X, 5}, {"height", l.Height, l.Y, 5}} {
		f.want(v.value >= v.low && v.start+v.value <= 100, "position."+v.key, "%d%% is outside the page; use %d to %d", v.value, v.low, 100-v.start)
	}
	f.oneOf("position.align", l.Align, AlignLeft, AlignCenter, AlignRight)
	return errors.Join(f...)
}

func (t *Timing) check(f *faults) {
	const longest = time.Hour
	f.want(t.MinTime >= time.Second && t.MinTime <= longest, "min_time", "%v is out of range; use 1s to 1h", t.MinTime)
	f.want(t.MaxTime >= t.MinTime && t.MaxTime <= longest, "max_time", "%v is out of range; use min_time (%v) to 1h", t.MaxTime, t.MinTime)
	f.want(t.MergeAfter >= 0 && t.MergeAfter < readAhead, "merge_after", "%d is out of range; use 0 (no limit) to %d", t.MergeAfter, readAhead-1)
	f.want(t.MaxAge >= 0, "max_age", "%v is negative; use 0 for no limit", t.MaxAge)
}

func (a *Audio) check(f *faults) {
	if a.soundFile() != "" {
		f.want(isFile(a.Sound) && mediaType(a.Sound).sound, "sound",
			"%q is neither chime, pop, none nor a sound; put a wav, mp3, ogg or m4a in the overlay's folder and write only its name", a.Sound)
	}
	f.want(a.Volume >= 0 && a.Volume <= 100, "volume", "%d is out of range; use 0 to 100", a.Volume)
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
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(name) {
		return fmt.Errorf("%q cannot be the name of an overlay; use 1 to 64 letters, digits, '-' and '_'", name)
	}
	return nil
}

// isFile reports whether name names a file in a folder, and nothing beyond.
func isFile(name string) bool {
	return name != "" && len(name) <= 200 && name == path.Base(name) && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, "\\:\x00")
}

// isLanguage reports whether tag has the form of a language tag (BCP 47).
func isLanguage(tag string) bool {
	return regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$`).MatchString(tag)
}
