package main

import (
	"fmt"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/webtest"
)

// awaitDeadLetters waits until the journal has so many dead letters.
func (w *world) awaitDeadLetters(n int) {
	w.t.Helper()
	eventually(w.t, func() error {
		if got := len(w.deadLetters()); got != n {
			return fmt.Errorf("%d dead letters, want %d", got, n)
		}
		return nil
	})
}

// The view of dead letters deletes those that it listed, and no others. It follows what comes, and says that nothing would deliver a letter of a sink that
// was removed. The view of the configuration tells what relay runs with from what the file has.
func TestDashboardOfARemovedSink(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	w.bot.refuses(title(1), title(3))
	p := w.start()
	w.connected()
	w.live.emit(0, 3)
	w.awaitDeadLetters(1)
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900})
	d.show("deadletters", "1 dead letter")
	d.click("Delete all")
	d.WaitFor(hasText("relay forgets 1 dead letter."))
	w.live.emit(3, 5)
	w.awaitDeadLetters(2)
	d.WaitFor("document.querySelectorAll('main tbody tr').length === 2") // while the question is asked
	d.click("Delete")
	d.WaitFor("document.querySelectorAll('main tbody tr').length === 1 && " + hasText(title(3)))
	letters := w.deadLetters()
	if len(letters) != 1 || letters[0].Sink != "bot" {
		t.Fatalf("dead letters %+v, want the one that came later", letters)
	}

	d.show("config", "No faults.")
	w.configure(func(s *settings) {
		delete(s.Sinks, "bot")
		s.Alerts.Sink = "console"
	})
	d.click("Refresh")
	d.WaitFor(hasText("The file has changed since relay loaded it."))
	text := "document.querySelector('.source').innerText"
	d.WaitFor(text + ".includes('bot:')")
	d.Screenshot("dashboard-config-changed")
	p.reload("configuration loaded again")
	d.click("Refresh")
	d.WaitFor(hasText("relay uses these sections from its next start on: alerts"))
	d.WaitFor("!(" + hasText("The file has changed") + ") && !" + text + ".includes('bot:')")

	d.WaitFor("document.querySelector('#views a[href=\"#/deadletters\"] .count')?.innerText.startsWith('1')")
	d.show("deadletters?sink=bot", "not running")
	var sink string
	if d.Eval("[...document.querySelectorAll('main select')].find((e) => e.closest('label').innerText.startsWith('Sink')).value", &sink); sink != "bot" {
		t.Errorf("the filter shows %q, want bot", sink)
	}
	d.click("Send all again")
	d.click("Send again")
	d.WaitFor(hasText("1 dead letter stayed") + " && " + hasText("with which relay does not run"))
	if got := w.deadLetters(); len(got) != 1 {
		t.Errorf("%d dead letters, want 1", len(got))
	}
	d.Screenshot("dashboard-deadletters-removed")
	d.quiet(t)
	p.stop()
}
