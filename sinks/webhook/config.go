package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/webhook/internal/body"
)

// The defaults of a webhook sink.
const (
	DefaultMethod  = http.MethodPost
	DefaultTimeout = 15 * time.Second // of one request
)

// Config configures a webhook sink, which sends every event in a request of its own, signed as Standard Webhooks
// requires.
type Config struct {
	outbound.Target `yaml:",inline"` // http or https, without user and password
	Signing         `yaml:",inline"`
	Request         `yaml:",inline"`
	// Account (yaml: account) names the account whose access token each request carries as Authorization: Bearer. The
	// url must then use https, or http to this machine.
	Account        string `yaml:"account"`
	field.TLSFiles `yaml:",inline"`
	Network        `yaml:",inline"`

	resolver *net.Resolver // for tests
}

// Signing has the keys that sign each request.
type Signing struct {
	// Secret (yaml: secret), SecretFile (yaml: secret_file), the path of a file with one secret per line, or Secrets
	// (yaml: secrets), a list, sign each request: whsec_ and at least 24 bytes in base64. Of several, the newest first,
	// each signs, so that a receiver can switch at any time. PrivateKey (yaml: private_key), or PrivateKeyFile (yaml:
	// private_key_file), the path of a file with one key per line, signs with Ed25519, for receivers that should have
	// no secret: whsk_ and the key in base64. One of the five is required. A file is read again when it changes.
	Secret     secret.String   `yaml:"secret"`
	SecretFile string          `yaml:"secret_file"`
	Secrets    []secret.String `yaml:"secrets"`

	PrivateKey     secret.String `yaml:"private_key"`
	PrivateKeyFile string        `yaml:"private_key_file"`
}

// Request is the form of requests.
type Request struct {
	// Method (yaml: method) is POST, PUT or PATCH. Default: POST.
	Method string `yaml:"method"`
	// Body (yaml: body) is a template of the body over the event as decoded JSON, for receivers that require another
	// format. Values are encoded for the content type. Default: the event itself. Alerts and digests are always
	// CloudEvents.
	Body Template `yaml:"body"`
	// ContentType (yaml: content_type) is the Content-Type of requests. Default: application/cloudevents+json; with a
	// Body, application/json.
	ContentType string `yaml:"content_type"`
	// Timeout (yaml: timeout) bounds one request, from the name lookup to the end of the response, at least 100ms.
	// Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
	// Headers (yaml: headers) are sent with each request. Their values are treated as secrets.
	Headers map[string]secret.String `yaml:"headers"`
}

// Network restricts the way to the receiver.
type Network struct {
	// Proxy (yaml: proxy) is the http or https URL of a proxy for requests. It is treated as a secret, because it may
	// have a user and password. Proxies of the environment are ignored.
	Proxy secret.String `yaml:"proxy"`
	// AllowNetworks (yaml: allow_networks) lists networks, such as 192.168.1.0/24, that the name in the url may resolve
	// to although they are not public. An address in the url is the choice of the operator and needs no permission.
	AllowNetworks []string `yaml:"allow_networks"`
}

// NewConfig returns the default configuration.
func NewConfig() *Config {
	return &Config{Request: Request{Method: DefaultMethod, Timeout: DefaultTimeout}}
}

// Validate checks the values and returns all errors, joined. An error about one key is a [field.Error].
func (c *Config) Validate() error {
	errs := append(c.checkTarget(), c.checkSigning()...)
	_, proxyErr := outbound.ParseProxy(c.Proxy)
	_, networksErr := outbound.ParseNetworks(c.AllowNetworks)
	errs = append(errs, c.CheckTLS(), field.Wrap("proxy", proxyErr), field.Wrap("allow_networks", networksErr))
	return errors.Join(append(errs, c.checkRequest()...)...)
}

func (c *Config) checkTarget() []error {
	set := map[string]bool{"url": !c.URL.Empty(), "url_file": c.URLFile != ""}
	errs := []error{field.OneOf(set, "url", "url_file")}
	switch {
	case set["url"]:
		_, err := c.target(c.URL)
		errs = append(errs, field.Wrap("url", err))
	case !set["url_file"]:
		errs = append(errs, field.Wrap("url", errors.New("is missing: write where events are sent, or url_file")))
	}
	return errs
}

func (s *Signing) checkSigning() []error {
	set := map[string]bool{
		"secret": !s.Secret.Empty(), "secret_file": s.SecretFile != "", "secrets": len(s.Secrets) > 0,
		"private_key": !s.PrivateKey.Empty(), "private_key_file": s.PrivateKeyFile != "",
	}
	errs := []error{field.OneOf(set, "secret", "secret_file", "secrets"), field.OneOf(set, "private_key", "private_key_file")}
	if set["private_key"] {
		_, err := ed25519Signers([]secret.String{s.PrivateKey})
		errs = append(errs, field.Wrap("private_key", err))
	}
	switch {
	case set["secret"]:
		_, err := hmacSigners([]secret.String{s.Secret})
		errs = append(errs, field.Wrap("secret", err))
	case set["secrets"]:
		_, err := hmacSigners(s.Secrets)
		errs = append(errs, field.Wrap("secrets", err))
	case !set["secret_file"] && !set["private_key"] && !set["private_key_file"]:
		errs = append(errs, field.Wrap("secret", errors.New("is missing, and anybody could forge an unsigned event: "+makeSecret)))
	}
	return errs
}

func (c *Config) checkRequest() []error {
	errs := []error{field.CheckTimeout(c.Timeout)}
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, c.Method) {
		errs = append(errs, field.Wrap("method", fmt.Errorf("want POST, PUT or PATCH, got %q", c.Method)))
	}
	if media, _, err := mime.ParseMediaType(c.ContentType); c.ContentType != "" && (err != nil || !strings.Contains(media, "/")) {
		errs = append(errs, field.Wrap("content_type", fmt.Errorf("%q is not a media type such as application/json", c.ContentType)))
	} else {
		_, err := c.template()
		errs = append(errs, field.Wrap("body", err))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		errs = append(errs, field.Wrap("headers", checkHeader(name, c.Headers[name])))
		if c.Account != "" && strings.EqualFold(name, "Authorization") {
			errs = append(errs, field.Wrap("headers", fmt.Errorf("%s and account are both set: keep one of them", name)))
		}
	}
	return errs
}

// Concurrency returns the default maximum number of concurrent deliveries.
func (*Config) Concurrency() int { return 16 }

// template parses the body template; nil means the event itself.
func (r *Request) template() (*body.Template, error) {
	if r.Body == "" {
		return nil, nil //nolint:nilnil // no template is no error
	}
	return body.Parse(string(r.Body), cmp.Or(r.ContentType, defaultBodyType))
}

// checkHeader rejects headers that relay or the connection sets.
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
		return fmt.Errorf("the value of %s contains a line break or another control character", name)
	}
	return nil
}

// Template is the text of a template (text/template) over the decoded event. It may have several lines.
type Template string
