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
	defaultMethod  = http.MethodPost
	defaultTimeout = 15 * time.Second // of one request
)

// Config configures a webhook sink, which sends every event in its own request, signed according to Standard Webhooks.
type Config struct {
	outbound.Target `yaml:",inline"` // http or https, without user and password.
	Signing         `yaml:",inline"`
	// Send this account's access token as `Authorization: Bearer`. If the receiver refuses it, relay renews it once. The URL must be https, or http
	// to this machine.
	Account        string `yaml:"account" value:"name of an account"`
	Request        `yaml:",inline"`
	field.TLSFiles `yaml:",inline"`
	Network        `yaml:",inline"`

	resolver *net.Resolver // for tests
}

// Signing has the keys that sign each request. At least one is required. A file is read again after it changed.
type Signing struct {
	// The signing secret: `whsec_` and at least 24 bytes in base64.
	//
	// Required, or a private key.
	Secret secret.String `yaml:"secret"`
	// The file with the signing secret, or several, one per line, the newest first. After a change, relay reads it again;
	// `relay secrets rotate NAME` changes it.
	SecretFile string `yaml:"secret_file"`
	// Several signing secrets, the newest first, while receivers change over. Each one signs.
	Secrets []secret.String `yaml:"secrets"`
	// Sign with Ed25519 (`v1a`) too, or instead of a secret: `whsk_` and the key in base64. `relay secrets public NAME` prints the public key.
	PrivateKey secret.String `yaml:"private_key"`
	// The file with the private key, or several, one per line. After a change, relay reads it again.
	PrivateKeyFile string `yaml:"private_key_file"`
}

// Request has the keys that shape requests.
type Request struct {
	// The request method.
	Method Method `yaml:"method"`
	// The body to send instead of the event, see [below](#a-body-of-your-own).
	//
	// Default: the event.
	//
	// Alerts and digests are always sent as CloudEvents.
	Body Template `yaml:"body" value:"template"`
	// The request's content type. It also decides how values in a body are encoded.
	//
	// Default: `application/cloudevents+json`; with a body `application/json`.
	ContentType string `yaml:"content_type" value:"media type"`
	// How long one request may take, from the name lookup to the end of the response.
	Timeout time.Duration `yaml:"timeout"`
	// Headers to send with each request.
	Headers map[string]secret.String `yaml:"headers"`
}

// Network has the keys about the way to the receiver.
type Network struct {
	// An HTTP proxy to send through, such as `http://proxy.example:3128`; it may contain a user and password. The environment's proxies do not apply
	// here.
	//
	// Default: none.
	Proxy secret.String `yaml:"proxy" value:"URL, a secret"`
	// Networks that the name in the URL may resolve to, in addition to public addresses, such as `[192.168.1.0/24]`.
	//
	// An address in the URL needs no such permission.
	AllowNetworks []string `yaml:"allow_networks" value:"list of networks"`
}

// Method is the HTTP method of a request.
type Method string

// Words returns the methods.
func (Method) Words() []string { return []string{http.MethodPost, http.MethodPut, http.MethodPatch} }

// NewConfig returns a configuration with its defaults filled in.
func NewConfig() *Config {
	return &Config{Request: Request{Method: defaultMethod, Timeout: defaultTimeout}}
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
	if !slices.Contains(c.Method.Words(), string(c.Method)) {
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
