package overlay_test

import (
	"testing"

	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// When its key is revoked, a page loses the alert, the speech and the widgets at once, and gets nothing more. A page with another key goes on.
func TestRevokedPageIsBlank(t *testing.T) {
	s := newSite(t, spoken, lasting, func(c *overlay.Settings) {
		c.Widgets = []overlay.Widget{overlay.WidgetAlerts, overlay.WidgetTicker, overlay.WidgetCounter}
	})
	revoked := s.page("", webtest.Options{Script: voice + watchDraws})
	key, _, err := s.stage.NewKey(t.Context(), "")
	must(t, err)
	s.key = key.Reveal()
	other := s.page("", webtest.Options{Script: watchDraws})
	s.put(1, 0)
	s.drawn(revoked, "t000001")
	s.drawn(other, "t000001")
	revoked.WaitFor(`speaking && document.querySelector('#ticker .who')`)

	must(t, s.stage.RevokeKey(t.Context(), s.stage.Keys()[0].ID))
	revoked.WaitFor(`!speaking && document.body.innerText.trim() === '' && document.getElementById('box').childElementCount === 0`)
	s.until("the other page is open again", func() bool { return len(s.stage.State().Pages) == 1 })
	other.WaitFor(`document.querySelector('#ticker .who')?.offsetWidth > 0`)
	s.put(1, 0)
	s.drawn(other, "t000002")
	if text := revoked.Text(`document.body.innerText.trim()`); text != "" {
		t.Errorf("with a revoked key there is text on screen: %q", text)
	}
	if got := draws(revoked); len(got) != 1 {
		t.Errorf("with a revoked key the page has drawn %q", got)
	}
}
