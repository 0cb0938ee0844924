package overlay_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// flood journals 50 treats a second until the returned function is called, which waits.
func (s *site) flood() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var flooding sync.WaitGroup
	flooding.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.put(1, 0)
			}
		}
	})
	return func() {
		cancel()
		flooding.Wait()
	}
}

// quiet is for floods: short alerts, of which many stand for several treats.
func quiet(c *overlay.Settings) {
	c.MinTime, c.MaxTime, c.MergeAfter, c.Volume = time.Second, time.Second, 3, 0
}

// settled waits until everything is shown.
func (s *site) settled() {
	s.t.Helper()
	s.until("every alert is shown", func() bool {
		st := s.stage.State()
		return st.Waiting == 0 && st.Showing == nil && st.Position == s.puts[len(s.puts)-1]
	})
}

// wantDrawnOnce fails if an alert was drawn twice, or drawn without being granted.
func (s *site) wantDrawnOnce(tabs ...*webtest.Tab) {
	s.t.Helper()
	titles := draws(tabs...)
	if unique := slices.Compact(slices.Sorted(slices.Values(titles))); len(unique) < len(titles) {
		s.t.Errorf("drawn twice: %v", titles)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(titles) == 0 || len(titles) > len(s.granted) {
		s.t.Errorf("%d alerts were drawn, of %d that were granted", len(titles), len(s.granted))
	}
	s.t.Logf("%d treats, %d alerts granted, %d drawn", len(s.puts), len(s.granted), len(titles))
}

// Reloads under 50 treats a second: each is in exactly one alert, and none is drawn twice.
func TestPageReloadsUnderFlood(t *testing.T) {
	s := newSite(t, quiet)
	s.observe()
	tab := s.page("", webtest.Options{Script: watchDraws, Reduced: true})
	stop := s.flood()
	for n := range 12 {
		time.Sleep(time.Duration(100+190*n%1100) * time.Millisecond)
		tab.Reload()
	}
	stop()
	s.settled()
	s.wantGrantedOnce()
	s.wantDrawnOnce(tab)
}

// The same when the browser kills the page, as a crash of OBS does.
func TestPageCrashesUnderFlood(t *testing.T) {
	s := newSite(t, quiet)
	s.observe()
	stop := s.flood()
	var tabs []*webtest.Tab
	for n := range 6 {
		tab := s.browser.Open(s.url(""), webtest.Options{Script: watchDraws, Reduced: true})
		tabs = append(tabs, tab)
		time.Sleep(time.Duration(300+370*n%1500) * time.Millisecond)
		tab.Crash()
	}
	tabs = append(tabs, s.page("", webtest.Options{Script: watchDraws, Reduced: true}))
	stop()
	s.settled()
	s.wantGrantedOnce()
	s.wantDrawnOnce(tabs...)
}

// Two pages in one browser, as the same source in two scenes, show the same alerts, each once.
func TestTwoTabsShowTheSame(t *testing.T) {
	s := newSite(t, quiet)
	s.observe()
	a := s.page("", webtest.Options{Script: watchDraws, Reduced: true})
	b := s.page("", webtest.Options{Script: watchDraws, Reduced: true})
	s.put(3, 0)
	s.settled()
	s.wantGrantedOnce()
	want := []string{"t000001", "t000002", "t000003"}
	for _, tab := range []*webtest.Tab{a, b} {
		if got := draws(tab); !slices.Equal(got, want) {
			t.Errorf("a page has drawn %q, want %q", got, want)
		}
	}
}

// A relay that forgot what it has shown, as after the restore of a backup, does not show it again to the same browser.
func TestBrowserRemembers(t *testing.T) {
	s := newSite(t, quiet)
	tab := s.page("", webtest.Options{Script: watchDraws, Reduced: true})
	before, err := s.config.Store.Get(t.Context(), "overlay.main")
	must(t, err)
	s.put(2, 0)
	s.settled()
	s.shut()
	s.stop()
	must(t, s.config.Store.Put(t.Context(), "overlay.main", before))
	s.stage = s.run(quiet)
	s.serve()
	s.put(1, 0)
	s.settled()
	if got := draws(tab); !slices.Equal(got, []string{"t000001", "t000002", "t000003"}) {
		t.Errorf("drawn: %q", got)
	}
}

// While relay is away the page is empty, and it goes on by itself.
func TestServerGoesAndComesBack(t *testing.T) {
	s := newSite(t, func(c *overlay.Settings) { quiet(c); c.Widgets = []overlay.Widget{"alerts", "ticker", "counter"} })
	tab := s.page("widget=alerts", webtest.Options{Script: watchDraws})
	s.put(1, 0)
	s.drawn(tab, "t000001")
	s.shut()
	s.until("relay notices", func() bool { return len(s.stage.State().Pages) == 0 })
	s.put(1, 0)
	tab.WaitFor(`document.body.innerText.trim() === ""`) // the first alert has ended
	for range 20 {
		if text := tab.Text("document.body.innerText.trim()"); text != "" {
			t.Fatalf("without a server the page shows %q", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.serve()
	s.until("the page connects again", func() bool { return len(s.stage.State().Pages) == 1 })
	s.settled()
	if got := draws(tab); !slices.Equal(got, []string{"t000001", "t000002"}) {
		t.Errorf("drawn: %q", got)
	}
	// A wrong key, and an overlay that does not exist: nothing either.
	for _, url := range []string{s.url("") + "x", fmt.Sprintf("http://%s/overlay/other#%s", s.address, s.key)} {
		wrong := s.browser.Open(url, webtest.Options{})
		time.Sleep(time.Second)
		if text := wrong.Text("document.body.innerText.trim()"); text != "" {
			t.Errorf("%s shows %q", url, text)
		}
		wrong.Close()
	}
}

// The file of "relay overlay file" waits for relay, and becomes the page.
func TestLocalFileWaits(t *testing.T) {
	s := newSite(t, quiet)
	s.shut()
	path := filepath.Join(t.TempDir(), "overlay.html")
	must(t, os.WriteFile(path, overlay.LocalFile(s.url("theme=pop")), 0o600))
	tab := s.browser.Open("file://"+path, webtest.Options{Script: watchDraws})
	time.Sleep(500 * time.Millisecond)
	if text := tab.Text("document.body.innerText.trim()"); text != "" {
		t.Errorf("the file shows %q", text)
	}
	s.serve()
	s.until("the page connects", func() bool { return len(s.stage.State().Pages) == 1 })
	s.put(1, 0)
	s.drawn(tab, "t000001")
	if got := tab.Text("document.documentElement.dataset.theme"); got != overlay.ThemePop {
		t.Errorf("the theme is %q", got)
	}
}
