package auth_test

import (
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/treatrelay/relay/auth/grant"
)

// What servers put around a valid answer does not cost it.
func TestNoiseAroundAToken(t *testing.T) {
	const token = `{"access_token":"canary-noise","refresh_token":"canary-noise-too","expires_in":3600}`
	var wide []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + token)) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	for name, body := range map[string]string{
		"PHP notice":        "<br />\n<b>Notice</b>:  Undefined index: scope in <b>/var/www/html/oauth.php</b> on line <b>117</b><br />\n" + token,
		"PHP notice, plain": "\nNotice: Undefined variable: {x} in /var/www/oauth.php on line 7\n\n" + token,
		"several notices":   "<br />\n<b>Warning</b>: a() {b}<br />\n<br />\n<b>Deprecated</b>: c<br />\n" + token + "\n",
		"log line":          `[29-Nov-2026 01:02:03 UTC] PHP Warning: array {"a":1} to string` + "\n" + token,
		"byte order mark":   "\xef\xbb\xbf" + token,
		"two marks":         "\xef\xbb\xbf\xef\xbb\xbf" + token,
		"UTF-16":            string(wide),
		"HTML comment":      "<!-- served by node 7 -->" + token,
		"comment behind":    token + "\n\n   <!-- 12 ms -->\n",
		"object in comment": `<!-- {"node":7} -->` + token,
		"tag in a comment":  "<!-- <html> of {theme} -->" + token + "<!-- </body> -->",
		"blanks":            " \r\n\t" + token + " \r\n\r\n",
		"guard":             ")]}',\n" + token,
		"notice behind":     token + "<br />\n<b>Notice</b>: headers already sent {x}<br />",
		"object behind":     "\nNotice: x\n" + token + `{"debug":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fake.issued = append(w.fake.issued, "canary-noise", "canary-noise-too")
			w.login(t)
			w.age(t, 31*day)
			w.fake.fault("/refresh", says(200, body, "Content-Type", "text/html; charset=UTF-8"))
			if got := w.token(t); got.AccessToken.Reveal() != "canary-noise" {
				t.Errorf("generation %d of another token", got.Generation)
			}
			if g := w.grant(t); g.RefreshToken.Reveal() != "canary-noise-too" || g.State != grant.Active {
				t.Errorf("state %s, or the refresh token is another", g.State)
			}
			w.fake.fault("/socket", says(200, strings.ReplaceAll(body, "access_token", "socket_token")))
			if name == "UTF-16" {
				return
			}
			if got, err := w.SocketToken(t.Context()); err != nil || got.Reveal() != "canary-noise" {
				t.Errorf("socket token: %v", err)
			}
		})
	}
}

// A token that cannot be sent, or not be read back, is refused when it arrives. The one before keeps serving.
func TestOddTokens(t *testing.T) {
	for name, c := range map[string]struct{ body, why string }{
		"a zero":          {`{"access_token":"canary-odd\u0000x","expires_in":3600}`, "its access_token holds control characters"},
		"a line end":      {`{"access_token":"canary-odd\r\nX-Header: 1"}`, "its access_token holds control characters"},
		"an escape":       {`{"access_token":"canary-odd\u001b[2J"}`, "its access_token holds control characters"},
		"a C1 character":  {`{"access_token":"canary-odd\u0085x"}`, "its access_token holds control characters"},
		"half a pair":     {`{"access_token":"canary-odd\ud800x"}`, "its access_token is no valid text"},
		"900 KB":          {`{"access_token":"` + strings.Repeat("canary-odd", 90_000) + `"}`, "its access_token is larger than 32 KiB"},
		"a bit too large": {`{"access_token":"` + strings.Repeat("x", 32<<10+1) + `"}`, "its access_token is larger than 32 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fake.issued = append(w.fake.issued, "canary-odd")
			w.login(t)
			w.age(t, 28*day)
			before := w.grant(t)
			w.fake.fault("/refresh", says(200, c.body))
			if got := w.token(t); got.AccessToken != before.AccessToken {
				t.Error("another token is served")
			}
			_, err := w.Refresh(t.Context(), 0)
			w.wantError(t, err, false, c.why)
			if g := w.grant(t); g.AccessToken != before.AccessToken || g.State != grant.RefreshOutcomeUnknown {
				t.Errorf("state %s of another token", g.State)
			}
			w.fake.fault("/socket", says(200, strings.ReplaceAll(c.body, "access_token", "socket_token")))
			_, err = w.SocketToken(t.Context())
			w.wantError(t, err, false, strings.ReplaceAll(c.why, "access_token", "socket_token"))
		})
	}
	t.Run("the largest is read back", func(t *testing.T) {
		w := newWorld(t)
		large := "x" + strings.Repeat("<&>\u2028", 32<<10/6) + "x" // Which take the most room in JSON.
		w.login(t)
		w.age(t, 31*day)
		w.fake.fault("/refresh", says(200, `{"access_token":"`+large+`","refresh_token":"`+large+`","scope":"`+strings.Repeat("x", 900_000)+`"}`))
		if got := w.token(t); got.AccessToken.Reveal() != large {
			t.Error("another token")
		}
		if got, err := w.account(t, w.store, nil).Token(t.Context()); err != nil || got.AccessToken.Reveal() != large {
			t.Errorf("the next process: %v", err)
		}
	})
	t.Run("a refresh token", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.age(t, 31*day)
		before := w.grant(t)
		w.fake.fault("/refresh", says(http.StatusOK, `{"access_token":"canary-good","refresh_token":"canary-bad\u0000"}`))
		if got := w.token(t); got.AccessToken.Reveal() != "canary-good" || w.grant(t).RefreshToken != before.RefreshToken {
			t.Error("the token beside it is lost, or it is kept")
		}
		if !strings.Contains(w.log.String(), "its refresh_token holds control characters") {
			t.Error("nobody is told")
		}
	})
}
