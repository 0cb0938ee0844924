package auth

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfter reads the header, seconds or a date (RFC 9110 section 10.2.3), at most a day. Seconds may have a fraction, as some send.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(header, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		if !(seconds > 0) { // or no number
			return 0
		}
		return time.Duration(min(seconds, retryAfterMax.Seconds()) * float64(time.Second))
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(0, date.Sub(now)), retryAfterMax)
	}
	return 0
}

// checkClient is the advice at the end of a badClient failure.
const checkClient = ": check client_id and client_secret in the config"

// statusText names an answer in a message.
func statusText(status int) string { return "HTTP " + strconv.Itoa(status) }

// isPage reports whether an answer is for a browser. PHP calls everything text/html that nobody says is something else.
func isPage(contentType string, body []byte) bool {
	if _, err := decodeObject(body); err == nil {
		return false
	}
	return strings.Contains(contentType, "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// judge says what an answer without a token means; nil for a 2xx that does not complain. A status alone says nothing about
// a grant: proxies, firewalls and gateways answer 400, 401 and 403 as they like. What names the token or the grant in a JSON
// object does.
func (ans answer) judge(p Provider) *failure {
	said := decodeComplaint(ans.body, ans.clean)
	f := &failure{
		kind: notSent, why: statusText(ans.status), after: ans.after, status: ans.status,
		page: ans.html, object: said.object, request: said.requestIsBad(),
	}
	if said.text != "" {
		f.why += " (" + said.text + ")"
	}
	switch status := ans.status; {
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == 520, status == 524: // The last two are Cloudflare's.
		f.kind = lostReply // The gateway does not know what became of the request, so neither do we.
	case status >= 500, said.busy(), elsewhere(status):
	case said.has(p.HarmlessCodes...):
	case said.clientIsBad():
		f.kind = badClient
		f.why += checkClient
	case said.grantIsBad(p.GrantCodes):
		f.kind = refused
	case status/100 == 2 && !said.failed:
		return nil
	case status/100 == 2, status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.kind = rejected
		f.ours = said.failed && !said.passing() && status != http.StatusForbidden
		switch {
		case ans.html:
			f.why += ": a web page, not the API's answer"
		case !said.object:
			if text := oneLine(ans.clean(string(ans.body))); text != "" {
				f.why += " (" + text + ")"
			}
			f.why += ": not the API's answer"
		}
	default:
		f.why += ": check endpoints." + ans.field + " in the config"
	}
	return f
}

// elsewhere reports whether a status is of a request that was not looked into: a proxy asks for a login of its own, or there
// was no time.
func elsewhere(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}
