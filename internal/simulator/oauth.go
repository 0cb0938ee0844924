package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"
)

// The paths, with the provider's spelling.
const (
	pathAuthorize   = "/Oauth2/Authorize"
	pathToken       = "/Oauth2/Authorize/token" //nolint:gosec // G101: a path, no credential
	pathRefresh     = "/Oauth2/RefreshToken"
	pathSocketToken = "/Oauth2/Authorize/socketToken" //nolint:gosec // G101: a path, no credential
	pathHistory     = "/api/getMonthTreats"
	pathSocket      = "/socket.io/"
)

const (
	scope = "userinfo"
	// maxBody bounds the body of a request, in bytes.
	maxBody = 64 << 10
	// bodyTimeout bounds the time to read the body of a request.
	bodyTimeout = 10 * time.Second
)

// tokens is the response to an exchange and to a refresh.
type tokens struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"`
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token"`
}

// authorize checks a login request and approves it, or shows the consent page if that is configured. An error is a page
// for the user of the browser, never a redirect: until everything is checked, redirect_uri cannot be trusted.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var fault string
	redirect, err := loopback(q.Get("redirect_uri"))
	switch {
	case q.Get("response_type") != "code":
		fault = "The parameter response_type must be code."
	case !s.grants.client.isID(q.Get("client_id")):
		fault = "The parameter client_id is not that of a registered client."
	case err != nil:
		fault = "The parameter redirect_uri is not registered: " + err.Error() + "."
	case q.Get("scope") != scope:
		fault = "The parameter scope must be " + scope + "."
	case q.Get("state") == "":
		fault = "The parameter state is missing: it protects the login against forgery."
	}
	if fault != "" {
		showPage(w, http.StatusBadRequest, page{Title: "This login cannot continue", Text: fault})
		return
	}
	asked := login{redirect, q.Get("state")}
	if s.cfg.Consent {
		showPage(w, http.StatusOK, page{
			Title: "Allow relay to see your treats?", Text: "This is a simulated login of " + s.cfg.Receiver + ".",
			Ticket: s.grants.ask(asked),
		})
		return
	}
	s.approve(w, r, asked)
}

// decide handles the form of the consent page.
func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	form, err := parameters(w, r)
	if err != nil {
		showPage(w, status(err), page{Title: "This form cannot be read", Text: err.Error() + "."})
		return
	}
	asked, ok := s.grants.answered(form.Get("ticket"))
	switch {
	case !ok:
		showPage(w, http.StatusBadRequest, page{
			Title: "This page is too old", Text: "It was used already, or is too old. Start the login again.",
		})
	case form.Get("decision") == "allow":
		s.approve(w, r, asked)
	default:
		redirect(w, r, asked, "error", "access_denied")
	}
}

func (s *Server) approve(w http.ResponseWriter, r *http.Request, l login) {
	redirect(w, r, l, "code", s.grants.issueCode(l.redirect))
}

// redirect sends the browser back to the client with one parameter and the state.
func redirect(w http.ResponseWriter, r *http.Request, l login, key, value string) {
	to, err := url.Parse(l.redirect)
	if err != nil { // cannot happen: it was parsed when the login was checked
		http.Error(w, "the redirect_uri cannot be parsed", http.StatusInternalServerError)
		return
	}
	q := to.Query()
	q.Set(key, value)
	q.Set("state", l.state)
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// loopback checks that a redirect_uri is a plain http URL of this machine. No others are registered. The error completes
// a sentence that names the parameter.
func loopback(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return "", errors.New("it is missing")
	case err != nil:
		return "", errors.New("it is not a URL")
	case u.Scheme != "http" || u.User != nil || u.Fragment != "":
		return "", errors.New("it must be http, without a user and without a fragment")
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && !ip.IsLoopback() {
		return "", errors.New("its host must be localhost or a loopback address")
	}
	return text, nil
}

// exchange handles the grant type authorization_code.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	form, ok := s.clientForm(w, r, "authorization_code")
	if !ok {
		return
	}
	if form.Get("scope") != scope {
		refuse(w, http.StatusBadRequest, "invalid_scope", "scope must be "+scope)
		return
	}
	// The code is used up in any case: a code sent with a wrong redirect_uri may have been stolen.
	redirect, ok := s.grants.takeCode(form.Get("code"))
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "invalid_grant", "the code is unknown, used or expired")
	case redirect != form.Get("redirect_uri"):
		refuse(w, http.StatusBadRequest, "invalid_grant", "redirect_uri is not the one that the code was issued for")
	default:
		s.giveTokens(w)
	}
}

// refresh handles the grant type refresh_token. It ends the old refresh token.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	form, ok := s.clientForm(w, r, "refresh_token")
	if !ok {
		return
	}
	if !s.grants.takeRefresh(form.Get("refresh_token")) {
		refuse(w, http.StatusBadRequest, "invalid_grant", "the refresh token is unknown, used or expired")
		return
	}
	s.giveTokens(w)
}

func (s *Server) giveTokens(w http.ResponseWriter) {
	access, refresh := s.grants.issueTokens()
	reply(w, http.StatusOK, tokens{
		AccessToken: access, ExpiresIn: max(1, int(s.grants.accessLife/time.Second)), TokenType: "Bearer",
		Scope: scope, RefreshToken: refresh,
	})
}

// socketToken issues a token that opens one socket.
func (s *Server) socketToken(w http.ResponseWriter, r *http.Request) {
	form, err := parameters(w, r)
	if err != nil {
		refuse(w, status(err), "invalid_request", err.Error())
		return
	}
	if !s.grants.client.isID(form.Get("client_id")) {
		refuse(w, http.StatusUnauthorized, "invalid_client", "client_id is not that of a registered client")
		return
	}
	token, ok := s.grants.issueSocket(form.Get("access_token"))
	if !ok {
		refuse(w, http.StatusUnauthorized, "invalid_token", "the access token is unknown or expired")
		return
	}
	reply(w, http.StatusOK, map[string]string{"socket_token": token})
}

// clientForm reads a token request of the registered client for one grant type. It answers any other request with an
// error and reports false. The error codes are those of RFC 6749, section 5.2; the provider documents none.
func (s *Server) clientForm(w http.ResponseWriter, r *http.Request, grantType string) (url.Values, bool) {
	form, err := parameters(w, r)
	switch {
	case err != nil:
		refuse(w, status(err), "invalid_request", err.Error())
	case form.Get("grant_type") != grantType:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be "+grantType)
	case !s.grants.client.isID(form.Get("client_id")) || !s.grants.client.isSecret(form.Get("client_secret")):
		refuse(w, http.StatusUnauthorized, "invalid_client", "client_id or client_secret is wrong")
	default:
		return form, true
	}
	return nil, false
}

// parameters reads a body in either encoding that clients of the provider use. Its errors contain no values.
func parameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	wire := http.NewResponseController(w)
	_ = wire.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails only for a test's recorder, which has no deadlines
	defer func() { _ = wire.SetReadDeadline(time.Time{}) }()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // an unreadable type is an unknown one
	switch kind {
	case "application/json":
		return jsonParameters(r)
	case "application/x-www-form-urlencoded":
		if err := r.ParseForm(); err != nil {
			return nil, unreadable("a form", err)
		}
		for name, values := range r.PostForm {
			if len(values) > 1 {
				return nil, fmt.Errorf("the parameter %q is repeated", name)
			}
		}
		return r.PostForm, nil
	default:
		return nil, errors.New("the content type is neither application/x-www-form-urlencoded nor application/json")
	}
}

func jsonParameters(r *http.Request) (url.Values, error) {
	var object map[string]any
	if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
		return nil, unreadable("a JSON object", err)
	}
	form := make(url.Values, len(object))
	for name, value := range object {
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("the parameter %q is not a string", name)
		}
		form.Set(name, text)
	}
	return form, nil
}

// errTooLarge means that a body exceeds maxBody.
var errTooLarge = errors.New("the body is too large")

// unreadable returns an error in place of err, whose text may quote the body.
func unreadable(what string, err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w: at most %d bytes", errTooLarge, tooLarge.Limit)
	}
	return errors.New("the body is not " + what)
}

func status(err error) int {
	if errors.Is(err, errTooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// refuse answers with an error in the format of RFC 6749.
func refuse(w http.ResponseWriter, status int, code, description string) {
	reply(w, status, map[string]string{"error": code, "error_description": description})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // fails only if the client is gone
}

// page is a page for the user of the browser. With a ticket it has a form with Allow and Deny.
type page struct{ Title, Text, Ticket string }

func showPage(w http.ResponseWriter, status int, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_ = template.Must(template.New("page").Parse(pageHTML)).Execute(w, p) // as in reply
}

const pageHTML = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>body{font:1.1rem/1.5 system-ui;max-width:34rem;margin:15vh auto;padding:0 1rem}button{font:inherit;padding:.4rem 1.2rem}</style>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Ticket}}<form method="post" action="` + pathAuthorize + `">
<input type="hidden" name="ticket" value="{{.Ticket}}">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>{{end}}
</html>
`
