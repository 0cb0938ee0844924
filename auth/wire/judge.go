package wire

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/reply"
)

// StatusText returns a status as messages show it.
func StatusText(status int) string { return "HTTP " + strconv.Itoa(status) }

// isPage reports whether a reply is a web page. The content type alone does not tell: text/html is the default of PHP.
func isPage(contentType string, body []byte) bool {
	if _, err := reply.Object(body); err == nil {
		return false
	}
	return strings.Contains(contentType, "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// Judge returns what a reply without a token means, and nil for a 2xx without an error. A status alone says nothing
// about a grant, since proxies, firewalls and gateways send 400, 401 and 403 as they like; only a JSON object that
// names the token or the grant does.
func (ans Answer) Judge(p provider.Provider) *Failure {
	said := reply.DecodeError(ans.Body, ans.clean)
	f := &Failure{
		Kind: NotSent, Why: StatusText(ans.Status), After: ans.After, Status: ans.Status,
		Page: ans.HTML, Object: said.Object, Request: said.RequestIsBad(),
	}
	if said.Text != "" {
		f.Why += " (" + said.Text + ")"
	}
	switch status := ans.Status; {
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == 520, status == 524: // the last two are Cloudflare's
		f.Kind = LostReply // the gateway does not know whether the request was carried out
	case status >= 500, said.Busy(), unprocessed(status):
	case said.Has(p.Codes.Harmless...):
	case said.InvalidClient():
		f.Kind = BadClient
		f.Advice = "check client_id and client_secret in the config"
	case said.InvalidGrant(p.Codes.Grant):
		f.Kind = Refused
	case status/100 == 2 && !said.Failed:
		return nil
	case status/100 == 2, status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Kind = Rejected
		f.Ours = said.Failed && !said.Transient() && status != http.StatusForbidden
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

// unprocessed reports whether a status means that the provider did not process the request: a proxy requires a login,
// or the provider had no time.
func unprocessed(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}
