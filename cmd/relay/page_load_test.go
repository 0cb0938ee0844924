package main

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/web/webtest"
)

var pageLoads = flag.Int("pageload", 1, "how often TestPageLoad opens each page")

// watchLoad notes when a page has loaded, and when it has drawn something. The overlay, which is empty, has then got its settings.
const watchLoad = `window.loading = {};
	new MutationObserver(() => { if (document.documentElement?.dataset.theme && location.pathname.startsWith('/overlay/')) loading.drawn ??= performance.now(); })
		.observe(document, { attributes: true, subtree: true });
	new PerformanceObserver((list) => list.getEntriesByName('first-contentful-paint').forEach((e) => { loading.drawn = e.startTime; })).observe({ type: 'paint', buffered: true });
	addEventListener('load', () => setTimeout(() => { loading.loaded = performance.getEntriesByType('navigation')[0].loadEventEnd; }));`

// pageLoad is how one page loaded.
type pageLoad struct {
	Loaded, Drawn float64 // milliseconds since the navigation began
	Fetched       int     // files that came over the network
	Files         int
}

func loadPage(browser *webtest.Browser, url string) (l pageLoad) {
	tab := browser.Open(url, webtest.Options{Width: 1440, Height: 1000, Script: watchLoad})
	defer tab.Close()
	tab.WaitFor("loading.loaded && loading.drawn")
	tab.Eval(`(() => {
		const files = performance.getEntriesByType('resource').filter((e) => e.name.includes('/assets/@'));
		return { ...loading, files: files.length, fetched: files.filter((e) => e.transferSize > 0).length };
	})()`, &l)
	return l
}

// The dashboard and the overlay load all that they draw first at once, and nothing of it again when they are opened the next time. It also measures
// how long that takes, as in docs/performance.md:
//
//	go test ./cmd/relay -run TestPageLoad -v -args -pageload 30
func TestPageLoad(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "console", "--sink", "bot")
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)
	empty := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte("<!doctype html><title>empty</title><link rel=icon href=data:,><p>empty</p>"))
	}))
	defer empty.Close()
	d := w.openDashboard(browser, api.Owner, webtest.Options{})
	pages := []struct{ name, url string }{
		{"empty page", empty.URL}, {"dashboard", d.Text("location.origin + '/'")}, {"overlay", w.relay(exit.OK, "overlay", "new", "main").out.text()},
	}
	d.Close()
	measured := map[string][]pageLoad{}
	for range *pageLoads {
		for _, visit := range []string{"first", "again"} {
			if visit == "first" {
				browser.ClearCache()
			}
			for _, page := range pages {
				l := loadPage(browser, page.url)
				measured[page.name+" "+visit] = append(measured[page.name+" "+visit], l)
				if visit == "first" && l.Fetched != l.Files {
					t.Errorf("%s: %d of %d files were in the cache that was cleared", page.name, l.Files-l.Fetched, l.Files)
				}
				if visit == "again" && l.Fetched > 0 {
					t.Errorf("%s: %d of %d files were loaded again", page.name, l.Fetched, l.Files)
				}
			}
		}
	}
	p.stop()
	t.Log(loadTable(measured, "empty page"))
}

// loadTable formats medians.
func loadTable(measured map[string][]pageLoad, base string) string {
	median := func(page, visit string, value func(pageLoad) float64) float64 {
		var all []float64
		for _, l := range measured[page+" "+visit] {
			all = append(all, value(l))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	drawn := func(l pageLoad) float64 { return l.Drawn }
	late := func(l pageLoad) float64 { return l.Drawn - l.Loaded }
	var text strings.Builder
	text.WriteString("\n| page | visit | files | loaded ms | drawn ms | ratio | drawn after load ms | fastest |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	for _, visit := range []string{"first", "again"} {
		for _, page := range []string{base, "dashboard", "overlay"} {
			fastest := slices.MinFunc(measured[page+" "+visit], func(a, b pageLoad) int { return cmp.Compare(late(a), late(b)) })
			fmt.Fprintf(&text, "| %s | %s | %.0f | %.0f | %.0f | %.1f | %.0f | %.0f |\n", page, visit,
				median(page, visit, func(l pageLoad) float64 { return float64(l.Fetched) }), median(page, visit, func(l pageLoad) float64 { return l.Loaded }),
				median(page, visit, drawn), median(page, visit, drawn)/median(base, visit, drawn), median(page, visit, late), late(fastest))
		}
	}
	return text.String()
}
