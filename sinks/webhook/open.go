package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/loopback"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Env has the dependencies of the sink on the process it runs in.
type Env struct {
	// Bearer returns the access tokens of an account. Only a sink with an account calls it.
	Bearer    func(account string) (Bearer, error)
	Attempt   outcome.AttemptLog
	UserAgent string // sent with every request
	Log       zerolog.Logger
}

// Open reads the files that the configuration names. It opens no connection.
func (c *Config) Open(_ context.Context, env Env) (pipeline.Sink, error) {
	route, err := c.route()
	if err != nil {
		return nil, err
	}
	var account *bearer
	if c.Account != "" {
		tokens, err := env.Bearer(c.Account)
		if err != nil {
			return nil, field.Wrap("account", err)
		}
		account = &bearer{tokens: tokens}
	}
	keys, err := c.keyring(env.Log)
	if err != nil {
		return nil, err
	}
	body, err := c.template()
	if err != nil {
		return nil, field.Wrap("body", err)
	}
	header := http.Header{"User-Agent": {env.UserAgent}}
	for name, value := range c.Headers {
		header.Set(name, value.Reveal())
	}
	return &sink{
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

// target parses the URL, removes its fragment and normalizes its host.
func (c *Config) target(text secret.String) (*url.URL, error) {
	u, err := outbound.ParseURL(text)
	if err != nil {
		return nil, err
	}
	if !c.Proxy.Empty() && outbound.IsMetadataName(u.Hostname()) {
		return nil, errors.New("is where a cloud hands out credentials: relay never connects there")
	}
	return u, c.checkBearer(u)
}

// checkBearer refuses to send an access token unencrypted.
func (c *Config) checkBearer(u *url.URL) error {
	if c.Account == "" || u.Scheme == "https" || loopback.Is(u.Hostname()) && c.Proxy.Empty() {
		return nil
	}
	return errors.New("plain http would show the access token of account to everybody on the way: use https")
}

// hidden returns the texts that must not appear in an error, in case the receiver sends them back: the values of
// headers, the login at the proxy, and the parts of the URL that are long enough to be a token.
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
	// The longest first: redacting a part first would leave the rest of the whole.
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	var all []secret.String
	for _, t := range slices.Compact(texts) {
		all = append(all, secret.New(t))
	}
	return all
}
