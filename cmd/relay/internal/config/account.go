package config

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/socket"
)

// accountKeys are the keys of an account.
type accountKeys struct {
	Provider         string        `yaml:"provider"`
	ClientID         string        `yaml:"client_id"`
	ClientSecret     secret.String `yaml:"client_secret"`
	ClientSecretFile string        `yaml:"client_secret_file"`
	RedirectURL      string        `yaml:"redirect_url"`
	Timezone         zone          `yaml:"timezone"`
	Endpoints        endpointKeys  `yaml:"endpoints"`
	Protocol         revision      `yaml:"protocol"`
	KeepRaw          bool          `yaml:"keep_raw"`
	Reconcile        interval      `yaml:"reconcile"`

	BaseURL           string                   `yaml:"base_url"`
	Scopes            []string                 `yaml:"scopes"`
	BodyStyle         string                   `yaml:"body_style"`
	Method            string                   `yaml:"method"`
	Audience          string                   `yaml:"audience"`
	Params            map[string]secret.String `yaml:"params"`
	RedirectParameter string                   `yaml:"redirect_parameter"`
}

func defaultAccount() accountKeys {
	return accountKeys{RedirectURL: DefaultRedirectURL, Timezone: zone{time.UTC}, Reconcile: interval{DefaultReconcile}}
}

// DefaultRedirectURL is where a login listens.
const DefaultRedirectURL = "http://localhost:8919"

// DefaultReconcile is how often an account's history is compared with the journal.
const DefaultReconcile = 15 * time.Minute

// useless reports whether a key of an account, or of its endpoints, means nothing to the provider.
func useless(key string, p provider.Provider) bool {
	switch key {
	case "timezone", "protocol", "keep_raw", "reconcile":
		return p.Endpoints.Socket == ""
	case "client_id", "client_secret", "client_secret_file", "scopes", "body_style", "audience", "params":
		return p.Grant == provider.PersonalToken
	case "redirect_url", "redirect_parameter":
		return p.Grant == provider.PersonalToken || p.Grant == provider.ClientCredentials
	case "method":
		return p.Grant != provider.ClientCredentials
	}
	endpoints := endpointKeys(p.Endpoints)
	endpoint, ok := fieldsOf(reflect.ValueOf(&endpoints).Elem())[strings.TrimPrefix(key, "endpoints.")]
	return ok && endpoint.String() == ""
}

// endpointKeys are [provider.Endpoints].
type endpointKeys struct {
	Authorize   string `yaml:"authorize"`
	Token       string `yaml:"token"`
	Refresh     string `yaml:"refresh"`
	Revoke      string `yaml:"revoke"`
	Probe       string `yaml:"probe"`
	SocketToken string `yaml:"socket_token"`
	History     string `yaml:"history"`
	Socket      string `yaml:"socket"`
}

// An interval is a time between two runs of something that can be turned off.
type interval struct{ every time.Duration }

func (interval) wanted() string { return "a duration of at least a minute, such as 15m, or off" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (i *interval) UnmarshalText(text []byte) (err error) {
	if s := string(text); s == "off" || s == "0" {
		i.every = 0
		return nil
	}
	if i.every, err = time.ParseDuration(string(text)); err == nil && i.every < time.Minute {
		err = errors.New("less than a minute")
	}
	return err
}

type zone struct{ location *time.Location }

func (zone) wanted() string { return "an IANA time zone such as Europe/Berlin" }

// UnmarshalText implements [encoding.TextUnmarshaler]. The machine's own zone is refused: the dates are the provider's.
func (z *zone) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 || string(text) == "Local" {
		return errors.New("not an IANA time zone")
	}
	z.location, err = time.LoadLocation(string(text))
	return err
}

type revision struct{ protocol socket.Protocol }

func (revision) wanted() string { return "auto, 3 or 4" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *revision) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		return errors.New("no protocol")
	}
	r.protocol, err = socket.ParseProtocol(string(text))
	return err
}

func (a *Account) decodeEntries(d *decoder, path string, entries []entry) {
	keys := defaultAccount()
	d.fields(path, entries, fieldsOf(reflect.ValueOf(&keys).Elem()))
	d.written.accounts[path] = keys
	d.secretFile(path, "client_secret", &keys.ClientSecret, &keys.ClientSecretFile)
	d.require(join(path, "provider"), "", keys.Provider == "")
	p, ok := provider.Lookup(keys.Provider)
	if !ok && keys.Provider != "" {
		d.unknown(join(path, "provider"), "provider", keys.Provider, ProviderNames())
	}
	if ok {
		d.checkUse(path, p)
	}
	if p.Grant != provider.PersonalToken {
		d.require(join(path, "client_id"), "", keys.ClientID == "")
		d.require(join(path, "client_secret"), "; set it or client_secret_file", keys.ClientSecret.Empty() && !p.Login.SecretOptional && !p.Login.PKCE)
	}
	d.check(join(path, "redirect_url"), CheckURL(keys.RedirectURL))
	endpoints := map[string]reflect.Value(nil)
	if d.given(join(path, "endpoints")) {
		endpoints = fieldsOf(reflect.ValueOf(&keys.Endpoints).Elem())
	}
	for key, field := range endpoints {
		if at := join(join(path, "endpoints"), key); d.given(at) {
			d.check(at, checkEndpoint(key, field.String()))
		}
	}
	if p.Grant == provider.PersonalToken || p.Grant == provider.ClientCredentials {
		keys.RedirectURL = ""
	}
	*a = Account{
		Config: auth.Config{
			Provider: p, ClientID: keys.ClientID, ClientSecret: keys.ClientSecret, RedirectURL: keys.RedirectURL,
			Overrides: auth.Overrides{
				Endpoints: provider.Endpoints(keys.Endpoints), BaseURL: keys.BaseURL, Scopes: keys.Scopes,
				BodyStyle: provider.BodyStyle(keys.BodyStyle), Method: keys.Method, Audience: keys.Audience, Params: keys.Params,
				RedirectParameter: keys.RedirectParameter,
			},
		},
		Location: keys.Timezone.location, Protocol: keys.Protocol.protocol, KeepRaw: keys.KeepRaw, Reconcile: keys.Reconcile.every,
	}
}

// checkUse rejects the keys that mean nothing to the provider.
func (d *decoder) checkUse(path string, p provider.Provider) {
	keys, endpoints := defaultAccount(), endpointKeys{}
	var all []string
	for key := range fieldsOf(reflect.ValueOf(&keys).Elem()) {
		all = append(all, key)
	}
	for key := range fieldsOf(reflect.ValueOf(&endpoints).Elem()) {
		all = append(all, "endpoints."+key)
	}
	for _, key := range all {
		if at := path + "." + key; d.given(at) && useless(key, p) {
			d.reject(at, "means nothing to "+p.Name+": take it out")
		}
	}
}

// checkAccount reports what auth has against an account in which nothing else is wrong.
func (d *decoder) checkAccount(path string, a Account) {
	if d.faults.under[path] {
		return
	}
	_, err := auth.New(a.Config, nil, auth.Options{})
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		at, why, ok := strings.Cut(line, ": ")
		if !ok || !strings.HasPrefix(at, "accounts.") {
			at, why = path, line
		}
		d.reject(at, why)
	}
}
