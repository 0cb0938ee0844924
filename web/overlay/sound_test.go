package overlay_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// recordSound notes in heard what a page plays, instead of playing it.
const recordSound = `window.heard = [];
	window.Audio = class { constructor(url) { this.url = String(url); } play() { heard.push(this.url.split('/').pop() + ' ' + this.volume); return Promise.resolve(); } pause() { heard.push('pause'); } };`

// voice stands for a browser with a voice, which a headless one lacks. It notes in heard what is read and what is cut off, and what it reads now is
// window.speaking. finish ends the reading. It reports neither the end of a speech that was cut off nor, if window.mute is set, its start.
const voice = `window.heard ??= []; window.speaking = null;
	window.finish = () => { const u = speaking; speaking = null; u.onend(); return true; };
	Object.defineProperty(window, 'speechSynthesis', { value: {
		getVoices: () => [{}],
		cancel() { if (speaking) heard.push('cut ' + speaking.text); speaking = null; },
		speak(u) { heard.push(u.lang + ': ' + u.text); speaking = u; if (!window.mute) u.onstart(); },
	} });`

// spoken are settings of an overlay that reads its alerts, which otherwise stay for a second.
func spoken(c *overlay.Settings) {
	quiet(c)
	c.Volume, c.Speech, c.SpeechLanguage, c.Sound = 50, true, "en-GB", "none"
}

// An alert stays while it is read, and a browser without voices does not hold it up. Sounds are played at the volume of the page, and stop when the
// overlay is muted.
func TestSoundAndSpeech(t *testing.T) {
	s := newSite(t, spoken, func(c *overlay.Settings) { c.Sound = "chime" })
	without := s.page("", webtest.Options{Script: recordSound})
	must(t, s.stage.Test(overlay.Text{Sender: "Ada", Title: "Tea", Message: "cheers"}))
	without.WaitFor(`heard[0] === 'chime.wav 0.5'`)
	s.until("the alert has ended without a voice", func() bool { st := s.stage.State(); return st.LastShown != nil && st.Showing == nil })
	without.Close()
	s.until("the page is gone", func() bool { return len(s.stage.State().Pages) == 0 })

	tab := s.page("volume=20", webtest.Options{Script: recordSound + voice + watchDraws})
	must(t, s.stage.Test(overlay.Text{Sender: "Ada", Title: "Tea", Message: "cheers"}))
	tab.WaitFor(`heard.join('|') === 'chime.wav 0.2|en-GB: Ada sent Tea. cheers'`)
	time.Sleep(2 * time.Second) // more than its time
	if s.stage.State().Showing == nil {
		t.Error("the alert did not stay while it was read")
	}
	tab.WaitFor("finish()")
	s.until("the alert has ended", func() bool { return s.stage.State().Showing == nil })
	must(t, s.stage.Mute(t.Context()))
	must(t, s.stage.Test(overlay.Text{Title: "Cake"}))
	s.drawn(tab, "Cake")
	s.until("the alert has ended", func() bool { return s.stage.State().Showing == nil })
	if got := tab.Text(`heard.slice(2).filter((h) => h !== 'pause').join()`); got != "" {
		t.Errorf("a muted page plays %q", got)
	}
}

// Whatever takes an alert off the screen also cuts off its speech, and the next alert is read.
func TestControlsCutSpeech(t *testing.T) {
	s := newSite(t, spoken)
	tab := s.page("", webtest.Options{Script: voice})
	for _, control := range []struct {
		name     string
		run, end func() error
	}{
		{"skip", func() error { return s.stage.Skip(t.Context()) }, nil},
		{"stop", func() error { return s.stages.Stop(t.Context()) }, func() error { return s.stages.Start(t.Context()) }},
	} {
		must(t, s.stage.Test(overlay.Text{Sender: "Ada", Title: control.name}))
		tab.WaitFor(fmt.Sprintf(`speaking?.text === 'Ada sent %s'`, control.name))
		must(t, control.run())
		tab.WaitFor(fmt.Sprintf(`!speaking && heard.at(-1) === 'cut Ada sent %s'`, control.name))
		tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
		if control.end != nil {
			must(t, control.end())
		}
	}
	must(t, s.stage.Test(overlay.Text{Sender: "Ada", Title: "Tea"}))
	tab.WaitFor(`speaking?.text === 'Ada sent Tea'`)
	tab.WaitFor("finish()")
	s.until("the alert has ended", func() bool { return s.stage.State().Showing == nil })
}

// withoutSpeechLimit keeps the page from ending a speech that takes too long.
const withoutSpeechLimit = `;{ const timer = setTimeout; window.setTimeout = (f, ms, ...rest) => ms === 25_000 ? 0 : timer(f, ms, ...rest); }`

// Mute silences the speech of the alert on screen. The alert then stays for its own time only, although the browser does not report the end of the
// speech.
func TestMuteCutsSpeech(t *testing.T) {
	s := newSite(t, spoken)
	observer := s.open(s.stage, overlay.PageRequest{ID: "observer", Preview: true}, func(*viewer, showing) {})
	defer observer.close()
	tab := s.page("", webtest.Options{Script: voice + withoutSpeechLimit})
	must(t, s.stage.Test(overlay.Text{Sender: "Ada", Title: "Tea"}))
	tab.WaitFor(`speaking?.text === 'Ada sent Tea'`)
	must(t, s.stage.Mute(t.Context()))
	tab.WaitFor(`!speaking && heard.at(-1) === 'cut Ada sent Tea'`)
	s.until("the alert has ended", func() bool { return s.stage.State().Showing == nil })
	if events := observer.events(); slices.Contains(events[slices.Index(events, "show"):], "hide") {
		t.Error("relay had to end the alert")
	}
}

// A speech of which the browser reports neither start nor end, or only the start, does not hold up the alerts that wait.
func TestSpeechThatNeverEnds(t *testing.T) {
	s := newSite(t, spoken)
	tab := s.page("", webtest.Options{Script: voice + `;window.mute = true`})
	for _, title := range []string{"silent", "endless", "last"} {
		must(t, s.stage.Test(overlay.Text{Sender: "Ada", Title: title}))
	}
	tab.WaitFor(`speaking?.text === 'Ada sent silent'`)
	tab.WaitFor(`(mute = false, heard.includes('cut Ada sent silent'))`)
	tab.WaitFor(`speaking?.text === 'Ada sent endless'`)
	tab.WaitFor(`heard.includes('cut Ada sent endless') && speaking?.text === 'Ada sent last'`)
	tab.WaitFor("finish()")
	s.until("all alerts have ended", func() bool { st := s.stage.State(); return st.Waiting == 0 && st.Showing == nil })
}

// The bundled sounds can be played.
func TestSoundsPlay(t *testing.T) {
	s := newSite(t)
	tab := s.page("", webtest.Options{})
	for _, sound := range []string{"chime", "pop"} {
		var none any
		tab.Eval(fmt.Sprintf(`(window.sound = new Audio('../assets/overlay/sounds/%s.wav'), sound.play().then(() => { window.played = %q; }), 1)`, sound, sound), &none)
		tab.WaitFor(fmt.Sprintf(`window.played === %q && sound.duration > 0.3`, sound))
	}
}
