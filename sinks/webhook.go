package sinks

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// The defaults of a webhook sink.
const (
	DefaultWebhookMethod  = http.MethodPost
	DefaultWebhookTimeout = 15 * time.Second // of one request
)

// WebhookConfig configures a webhook sink, which sends every event in a POST request of its own, signed as Standard
// Webhooks demands.
type WebhookConfig struct {
	Target  `yaml:",inline"` // http or https, without user and password
	Signing `yaml:",inline"`
	Request `yaml:",inline"`
	// Account (yaml: account) names the account whose access token goes with each request, as Authorization: Bearer. The
	// url must then be https, or http to this machine.
	Account  string `yaml:"account"`
	TLSFiles `yaml:",inline"`
	Network  `yaml:",inline"`

	resolver *net.Resolver // for tests
}

// Signing has the keys that sign each request.
type Signing struct {
	// Secret (yaml: secret), SecretFile (yaml: secret_file), the path of a file that holds one a line, or Secrets (yaml:
	// secrets), a list, sign each request: whsec_ and at least 24 bytes in base64. With several, the newest first, each
	// signs, so that a receiver can change over in its own time. PrivateKey (yaml: private_key), or PrivateKeyFile (yaml:
	// private_key_file), the path of a file that holds one a line, signs with Ed25519, for receivers that are to hold no
	// secret: whsk_ and the key in base64. One of the five is needed. A file is read again when it has changed.
	Secret     secret.String   `yaml:"secret"`
	SecretFile string          `yaml:"secret_file"`
	Secrets    []secret.String `yaml:"secrets"`

	PrivateKey     secret.String `yaml:"private_key"`
	PrivateKeyFile string        `yaml:"private_key_file"`
}

// Request is what requests look like.
type Request struct {
	// Method (yaml: method) is POST, PUT or PATCH. Default: POST.
	Method string `yaml:"method"`
	// Body (yaml: body) is a template of the body, over the event as decoded JSON, for receivers that want a shape of their
	// own. Values are encoded as the content type wants it. Default: the event itself. Alerts have the form of a CloudEvent
	// in any case.
	Body Template `yaml:"body"`
	// ContentType (yaml: content_type) is the Content-Type of requests. Default: application/cloudevents+json, with a Body
	// application/json.
	ContentType string `yaml:"content_type"`
	// Timeout (yaml: timeout) bounds one request, from the name lookup to the end of the answer, at least 100ms.
	// Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
	// Headers (yaml: headers) are sent with each request. Their values are treated as secrets.
	Headers map[string]secret.String `yaml:"headers"`
}

// Network says what the way to the receiver may be.
type Network struct {
	// Proxy (yaml: proxy) is the http or https URL of a proxy to send requests through. It is treated as a secret, for it
	// may hold a user and password. The environment's proxies are ignored.
	Proxy secret.String `yaml:"proxy"`
	// AllowNetworks (yaml: allow_networks) lists networks, as in 192.168.1.0/24, that the name in the url may lead to though
	// they are not public. An address in the url is the operator's choice and needs no leave.
	AllowNetworks []string `yaml:"allow_networks"`
}

// NewWebhookConfig returns a configuration with its defaults filled in.
func NewWebhookConfig() *WebhookConfig {
	return &WebhookConfig{Request: Request{Method: DefaultWebhookMethod, Timeout: DefaultWebhookTimeout}}
}

// Validate implements [Config].
func (c *WebhookConfig) Validate() error {
	errs := append(c.checkTarget(), c.checkSigning()...)
	_, proxyErr := parseProxy(c.Proxy)
	_, networksErr := parseNetworks(c.AllowNetworks)
	errs = append(errs, c.CheckTLS(), field("proxy", proxyErr), field("allow_networks", networksErr))
	return errors.Join(append(errs, c.checkRequest()...)...)
}

func (c *WebhookConfig) checkTarget() []error {
	set := map[string]bool{"url": !c.URL.Empty(), "url_file": c.URLFile != ""}
	errs := []error{oneOf(set, "url", "url_file")}
	switch {
	case set["url"]:
		_, err := c.target(c.URL)
		errs = append(errs, field("url", err))
	case !set["url_file"]:
		errs = append(errs, field("url", errors.New("is missing: write where events are sent, or url_file")))
	}
	return errs
}

func (s *Signing) checkSigning() []error {
	set := map[string]bool{
		"secret": !s.Secret.Empty(), "secret_file": s.SecretFile != "", "secrets": len(s.Secrets) > 0,
		"private_key": !s.PrivateKey.Empty(), "private_key_file": s.PrivateKeyFile != "",
	}
	errs := []error{oneOf(set, "secret", "secret_file", "secrets"), oneOf(set, "private_key", "private_key_file")}
	if set["private_key"] {
		_, err := ed25519Signers([]secret.String{s.PrivateKey})
		errs = append(errs, field("private_key", err))
	}
	switch {
	case set["secret"]:
		_, err := hmacSigners([]secret.String{s.Secret})
		errs = append(errs, field("secret", err))
	case set["secrets"]:
		_, err := hmacSigners(s.Secrets)
		errs = append(errs, field("secrets", err))
	case !set["secret_file"] && !set["private_key"] && !set["private_key_file"]:
		errs = append(errs, field("secret", errors.New("is missing, and anybody could forge an unsigned event: "+makeSecret)))
	}
	return errs
}

func (c *WebhookConfig) checkRequest() []error {
	errs := []error{checkTimeout(c.Timeout)}
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, c.Method) {
		errs = append(errs, field("method", fmt.Errorf("want POST, PUT or PATCH, got %q", c.Method)))
	}
	if media, _, err := mime.ParseMediaType(c.ContentType); c.ContentType != "" && (err != nil || !strings.Contains(media, "/")) {
		errs = append(errs, field("content_type", fmt.Errorf("%q is not a media type such as application/json", c.ContentType)))
	} else {
		_, err := c.template()
		errs = append(errs, field("body", err))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		errs = append(errs, field("headers", checkHeader(name, c.Headers[name])))
		if c.Account != "" && strings.EqualFold(name, "Authorization") {
			errs = append(errs, field("headers", fmt.Errorf("%s and account are both set: keep one of them", name)))
		}
	}
	return errs
}

// Concurrency implements [Config].
func (*WebhookConfig) Concurrency() int { return 16 }

// WebhookEnv is what the sink uses of the process it runs in.
type WebhookEnv struct {
	// Bearer finds the account whose access tokens the sink sends. It is called only by one that names an account.
	Bearer    func(account string) (Bearer, error)
	Attempt   AttemptLog
	UserAgent string // sent with every request
	Log       zerolog.Logger
}

// Open reads the files the configuration names and connects to nothing.
func (c *WebhookConfig) Open(_ context.Context, env WebhookEnv) (pipeline.Sink, error) {
	route, err := c.route()
	if err != nil {
		return nil, err
	}
	var account *bearer
	if c.Account != "" {
		tokens, err := env.Bearer(c.Account)
		if err != nil {
			return nil, field("account", err)
		}
		account = &bearer{tokens: tokens}
	}
	keys, err := c.keyring(env.Log)
	if err != nil {
		return nil, err
	}
	body, err := c.template()
	if err != nil {
		return nil, field("body", err)
	}
	header := http.Header{"User-Agent": {env.UserAgent}}
	for name, value := range c.Headers {
		header.Set(name, value.Reveal())
	}
	return &webhook{
		method:  c.Method,
		url:     route.URL.String(),
		shown:   route.URL.Scheme + "://" + route.URL.Host,
		header:  header,
		body:    body,
		content: c.ContentType,
		bearer:  account,
		keys:    keys,
		timeout: c.Timeout,
		client:  route.Client(env.Log),
		hidden:  hidden(route.URL, route.Proxy, c.Headers),
		attempt: env.Attempt,
	}, nil
}

// template reads the body, which is nil for the event itself.
func (r *Request) template() (*bodyTemplate, error) {
	if r.Body == "" {
		return nil, nil //nolint:nilnil // no template is no fault
	}
	return parseBody(r.Body, cmp.Or(r.ContentType, defaultBodyType))
}

// keyring makes the keys that sign.
func (s *Signing) keyring(log zerolog.Logger) (*keyring, error) {
	keys := &keyring{log: log, checked: time.Now()}
	var errs []error
	switch {
	case !s.Secret.Empty():
		errs = append(errs, keys.add("secret", "", []secret.String{s.Secret}, hmacSigners))
	case len(s.Secrets) > 0:
		errs = append(errs, keys.add("secrets", "", s.Secrets, hmacSigners))
	case s.SecretFile != "":
		errs = append(errs, keys.add("secret_file", s.SecretFile, nil, hmacSigners))
	}
	switch {
	case !s.PrivateKey.Empty():
		errs = append(errs, keys.add("private_key", "", []secret.String{s.PrivateKey}, ed25519Signers))
	case s.PrivateKeyFile != "":
		errs = append(errs, keys.add("private_key_file", s.PrivateKeyFile, nil, ed25519Signers))
	}
	return keys, errors.Join(errs...)
}

// target reads the URL, which is left without a fragment and with its host in plain form.
func (c *WebhookConfig) target(text secret.String) (*url.URL, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	if !c.Proxy.Empty() && isMetadataName(u.Hostname()) {
		return nil, errors.New("is where a cloud hands out credentials: relay never connects there")
	}
	return u, c.checkBearer(u)
}

// checkBearer refuses to send an access token in the clear.
func (c *WebhookConfig) checkBearer(u *url.URL) error {
	if c.Account == "" || u.Scheme == "https" || isLoopback(u.Hostname()) && c.Proxy.Empty() {
		return nil
	}
	return errors.New("plain http would show the access token of account to everybody on the way: use https")
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}

// parseURL checks a webhook's URL. Its errors do not quote it.
func parseURL(text secret.String) (*url.URL, error) {
	u, err := url.Parse(text.Reveal())
	switch {
	case err != nil:
		return nil, errors.New("is not a valid URL: write it as https://HOST/PATH and percent-encode what is special")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("is not an http or https URL with a host: write https://HOST/PATH")
	case u.User != nil:
		return nil, errors.New("holds a user or password: take it out and set headers, as in {Authorization: Basic ...}")
	case strings.ContainsFunc(text.Reveal(), unicode.IsSpace):
		return nil, errors.New("holds a blank: take it out, or write %20 if it belongs there")
	case badPort(u):
		return nil, errors.New("the port must be a number from 1 to 65535")
	}
	u.Fragment = ""
	return u, plainHost(u)
}

func badPort(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() != "" && (err != nil || port == 0)
}

// plainHost puts the host of u into the one form it is written in.
func plainHost(u *url.URL) error {
	host, err := parseHost(u.Hostname())
	if err != nil {
		return err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	u.Host = host
	return nil
}

// parseProxy checks the URL of a proxy; it is nil if there is none. Its errors do not quote it.
func parseProxy(text secret.String) (*url.URL, error) {
	if text.Empty() {
		return nil, nil //nolint:nilnil // no proxy is no fault
	}
	u, err := url.Parse(text.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("is not the URL of a proxy: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, " +
			"and percent-encode what is special in a password")
	}
	return u, plainHost(u)
}

// checkHeader refuses the headers that are relay's own or the connection's.
func checkHeader(name string, value secret.String) error {
	lower := strings.ToLower(name)
	own := []string{"content-type", "host", "content-length", "transfer-encoding", "connection", "trailer", "te", "upgrade"}
	switch {
	case strings.HasPrefix(lower, "webhook-") || slices.Contains(own, lower):
		return fmt.Errorf("%s cannot be set: relay sends its own", name)
	case name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}):
		return fmt.Errorf("%q is not the name of a header (RFC 9110, section 5.1)", name)
	case strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fmt.Errorf("the value of %s holds a line break or another control character", name)
	}
	return nil
}

// hidden lists what must not show in an error, should the receiver send it back: the values of headers, the login at the
// proxy, and the parts of the URL that are long enough to be a token.
func hidden(u, proxy *url.URL, headers map[string]secret.String) []secret.String {
	texts := []string{u.String(), u.RequestURI()}
	if proxy != nil && proxy.User != nil {
		password, _ := proxy.User.Password()
		login := proxy.User.Username() + ":" + password
		texts = append(texts, proxy.User.String(), password, base64.StdEncoding.EncodeToString([]byte(login)))
	}
	for _, h := range headers {
		texts = append(texts, h.Reveal())
		texts = append(texts, strings.Fields(h.Reveal())...)
	}
	parts := strings.FieldsFunc(u.EscapedPath()+"&"+u.RawQuery, func(r rune) bool { return strings.ContainsRune("/&=", r) })
	parts = append(parts, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	for _, p := range parts {
		if len(p) >= 8 {
			texts = append(texts, p)
		}
	}
	// The longest first, lest a part leaves the rest of a whole behind.
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	var all []secret.String
	for _, t := range slices.Compact(texts) {
		all = append(all, secret.New(t))
	}
	return all
}
