package wire

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/reply"
)

// StatusText names an answer in a message.
func StatusText(status int) string { return "HTTP " + strconv.Itoa(status) }

// isPage reports whether an answer is for a browser. PHP calls everything text/html that nobody says is something else.
func isPage(contentType string, body []byte) bool {
	if _, err := reply.Object(body); err == nil {
		return false
	}
	return strings.Contains(contentType, "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// Judge says what an answer without a token means; nil for a 2xx that does not complain. A status alone says nothing about
// a grant: proxies, firewalls and gateways answer 400, 401 and 403 as they like. What names the token or the grant in a JSON
// object does.
func (ans Answer) Judge(p provider.Provider) *Failure {
	said := reply.DecodeComplaint(ans.Body, ans.clean)
	f := &Failure{
		Kind: NotSent, Why: StatusText(ans.Status), After: ans.After, Status: ans.Status,
		Page: ans.HTML, Object: said.Object, Request: said.RequestIsBad(),
	}
	if said.Text != "" {
		f.Why += " (" + said.Text + ")"
	}
	switch status := ans.Status; {
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == 520, status == 524: // The last two are Cloudflare's.
		f.Kind = LostReply // The gateway does not know what became of the request, so neither do we.
	case status >= 500, said.Busy(), elsewhere(status):
	case said.Has(p.Codes.Harmless...):
	case said.ClientIsBad():
		f.Kind = BadClient
		f.Advice = "check client_id and client_secret in the config"
	case said.GrantIsBad(p.Codes.Grant):
		f.Kind = Refused
	case status/100 == 2 && !said.Failed:
		return nil
	case status/100 == 2, status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Kind = Rejected
		f.Ours = said.Failed && !said.Passing() && status != http.StatusForbidden
		switch {
		case ans.HTML:
			f.Why += ": a web page, not the API's answer"
		case !said.Object:
			if text := reply.OneLine(ans.clean(string(ans.Body))); text != "" {
				f.Why += " (" + text + ")"
			}
			f.Why += ": not the API's answer"
		}
	default:
		f.Advice = "check endpoints." + ans.field + " in the config"
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
