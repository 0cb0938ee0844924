package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/delivery/digests"
	"github.com/treatrelay/relay/web/webtest"
)

// listDigests returns the digests of a sink.
func (w *world) listDigests(sink string) (all []api.Digest) {
	w.t.Helper()
	for d, err := range w.client().Digests(w.t.Context(), &digests.Filter{Sinks: []string{sink}}) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// missed makes relay, which does not run, miss the treats from..to-1, and starts it.
func (w *world) missed(from, to int) *process {
	w.t.Helper()
	w.sends(from, to)
	p := w.start()
	w.connected()
	return p
}

// The digests of two sinks, one of which refuses its digest, have a view, and each a page with its treats and its attempts.
func TestDashboardShowsDigests(t *testing.T) {
	axe := axeScript(t)
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	summary := newReceiver(t)
	sink, refusing := webhookTo(summary.server.URL), webhookTo(w.bot.server.URL)
	refusing.Retry = retrySettings{Initial: "50ms", Max: "500ms"}
	sink.Backfill, refusing.Backfill, refusing.Filter = "digest", "digest", `data.title != "`+title(6)+`"`
	w.configure(func(s *settings) { s.Sinks["summary"], s.Sinks["bot"] = sink, refusing })
	w.login()
	p := w.start()
	w.connected()
	p.err.find(t, "first comparison with the history")
	w.sends(0, 5)
	holds(t, "stdout", p.out, 0, 5)
	holds(t, "the summary", summary.lines, 0, 5)
	w.bot.refuses("treatrelay.digest.v1")
	p.stop()
	p = w.missed(5, 25)
	sent := w.digests(summary, 20)[0]
	w.live.emit(25, 35) // which the webhook accepts, so that the refusal counts as the digest's own
	eventually(t, func() error {
		if all := w.listDigests("bot"); len(all) != 1 || all[0].State != "dead_letter" {
			return fmt.Errorf("the digests of the webhook are %+v", all)
		}
		return nil
	})
	if all := w.listDigests("summary"); len(all) != 1 || all[0].ID != sent.ID || all[0].Count != 20 || all[0].State != "delivered" || all[0].Attempts != 1 {
		t.Errorf("the digests are %+v, want %s", all, sent.ID)
	}
	d := w.openDashboard(browser, api.Moderator, webtest.Options{Width: 1440, Height: 1000})
	d.show("digests", "2 digests")
	var rows []string
	d.Eval(`[...document.querySelectorAll('main tbody tr')].map((e) => e.innerText.replace(/\s+/g, ' '))`, &rows)
	for i, want := range []string{`summary Delivered 20`, `bot Dead letter`} {
		if !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, want) && strings.Contains(row, "mystream") }) {
			t.Errorf("row %d: no row with %q in %q", i, want, rows)
		}
	}
	d.accessible(t, "digests", axe)
	d.Screenshot("dashboard-digests")
	d.show("digests?sink=summary", "1 digest")
	d.click(d.Text("document.querySelector('main tbody a').innerText"))
	d.WaitFor("document.querySelector('main h1')?.innerText === 'Digest' && " + hasText("20 treats for mystream"))
	d.WaitFor(fmt.Sprintf("document.querySelectorAll('main tbody tr').length === 20 && %s && %s", hasText(title(5)), hasText(title(24))))
	d.WaitFor(hasText("accepted it"))
	d.accessible(t, "a digest", axe)
	d.Screenshot("dashboard-digest")
	d.click("1 attempt")
	d.WaitFor("location.hash.includes('" + sent.ID + "') && document.querySelector('main h1')?.innerText === 'Attempts' && document.querySelectorAll('main tbody tr').length === 1")
	d.click(d.Text("document.querySelector('main tbody a').innerText"))
	d.WaitFor("document.querySelector('main h1')?.innerText === 'Digest' && " + hasText("Treats in it"))
	d.click(d.Text("document.querySelector('main tbody a').innerText"))
	d.WaitFor("document.querySelector('main h1')?.innerText === 'Event' && " + hasText("In the journal"))
	d.show("digest/"+w.listDigests("bot")[0].ID, "19 treats for mystream")
	d.WaitFor(hasText("Dead letter "))
	d.show("digest/dig_nothing", "relay knows nothing of this digest")
	p.stop()
	if steps := w.trace(sent.ID); len(steps) == 0 {
		t.Error("the trace is empty")
	}
	w.relay(exit.OK, "deadletters", "purge", "--all")
}
