package overlay_test

import (
	"slices"
	"testing"

	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// slowFiles makes files of the overlay's folder load only after release. waiting is how many were asked for.
const slowFiles = `window.waiting = 0; window.released = new Promise((resolve) => { window.release = () => { resolve(); return true; }; });
	{ const real = window.fetch; window.fetch = async (url, ...rest) => {
		if (String(url).includes('/files/')) { waiting++; await released; }
		return real(url, ...rest);
	}; }`

// takingOff are the controls that take an alert off the screen, and what ends them.
func (s *site) takingOff() map[string][2]func() error {
	return map[string][2]func() error{
		"skip": {func() error { return s.stage.Skip(s.t.Context()) }, func() error { return nil }},
		"stop": {func() error { return s.stages.Stop(s.t.Context()) }, func() error { return s.stages.Start(s.t.Context()) }},
	}
}

// An alert whose theme is still loading when it is taken off the screen is not drawn later, and is not heard.
func TestAlertTakenOffWhileItLoads(t *testing.T) {
	s := newSite(t, lasting, func(c *overlay.Settings) { c.Theme = overlay.ThemeCustom })
	s.writeFiles(map[string]string{"custom.html": `<b data-field="title"></b>`})
	for control, run := range s.takingOff() {
		tab := s.page("", webtest.Options{Script: recordSound + slowFiles + watchDraws, Reduced: true})
		must(t, s.stage.Test(overlay.Text{Title: control}))
		s.until("the alert is shown", func() bool { return s.stage.State().Showing != nil })
		tab.WaitFor("waiting > 0")
		must(t, run[0]())
		s.until("the alert has ended", func() bool { return s.stage.State().Showing == nil })
		tab.WaitFor("release()")
		must(t, run[1]())
		must(t, s.stage.Test(overlay.Text{Title: "Tea"}))
		tab.WaitFor(field("title") + ` === "Tea"`)
		tab.WaitFor(`heard.length > 0`)
		if got := draws(tab); !slices.Equal(got, []string{"Tea"}) {
			t.Errorf("%s: the page has drawn %q", control, got)
		}
		if got := tab.Text("heard.join()"); got != "chime.wav 0.6" {
			t.Errorf("%s: the page has played %s", control, got)
		}
		must(t, s.stage.Skip(t.Context()))
		tab.Close()
		s.until("the page is gone", func() bool { return len(s.stage.State().Pages) == 0 })
	}
}

// A sound that is still loading when its alert is taken off the screen is not played.
func TestSoundStoppedWhileItLoads(t *testing.T) {
	s := newSite(t, lasting, func(c *overlay.Settings) { c.Sound = "ding.wav" })
	s.writeFiles(map[string]string{"ding.wav": "RIFF"})
	for control, run := range s.takingOff() {
		tab := s.page("", webtest.Options{Script: recordSound + slowFiles, Reduced: true})
		must(t, s.stage.Test(overlay.Text{Title: control}))
		tab.WaitFor(`waiting > 0 && document.querySelector('#box .alert')`)
		must(t, run[0]())
		tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
		tab.WaitFor("release()")
		must(t, run[1]())
		must(t, s.stage.Test(overlay.Text{Title: "Tea"}))
		tab.WaitFor(`heard.some((h) => h !== 'pause') && document.querySelector('#box .alert')`)
		if got := tab.Text(`String(heard.filter((h) => h !== 'pause').length)`); got != "1" {
			t.Errorf("%s: the page has played %s sounds, want 1", control, got)
		}
		must(t, s.stage.Skip(t.Context()))
		tab.Close()
		s.until("the page is gone", func() bool { return len(s.stage.State().Pages) == 0 })
	}
}
