package config

import (
	"reflect"
	"strings"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/socket"
)

// Account is one entry of the section accounts.
type Account struct {
	auth.Config `yaml:",inline"` // Its field Account is the name.

	// The time zone of the provider's dates, such as `Europe/Berlin`.
	Location *time.Location `yaml:"timezone" for:"treats"`
	// The Engine.IO revision of the realtime server; `auto` detects it.
	Protocol socket.Protocol `yaml:"protocol" for:"treats"`
	// Keep the fields of a treat that relay does not know. They may contain personal data.
	KeepRaw bool `yaml:"keep_raw" for:"treats"`
	// How often relay compares the provider's 30-day history with the journal, in addition to each connection, and journals what it missed.
	// `off`: only when `relay reconcile` asks for it; see [Missed treats](#missed-treats).
	Reconcile time.Duration `yaml:"reconcile" min:"1m" off:"0" for:"treats"`

	// BackfillFirstRun comes from the command line: the first comparison also delivers the treats that are already in the history.
	BackfillFirstRun bool
}

// Receives reports whether the account's provider sends treats.
func (a Account) Receives() bool { return a.Provider.Endpoints.Socket != "" }

// accountKeys are the keys of an account in the file.
type accountKeys struct {
	// The provider whose API this account uses. Only treatstream sends treats; webhooks can use the tokens of the others, see [auth.md](auth.md).
	//
	// Required.
	Provider providerName `yaml:"provider"`
	Account  `yaml:",inline"`
	// The file with the client secret, instead of `client_secret`.
	ClientSecretFile string `yaml:"client_secret_file" for:"application"`
}

// The defaults of an account.
const (
	DefaultRedirectURL = "http://localhost:8919"
	DefaultReconcile   = 15 * time.Minute
)

func defaultAccount() accountKeys {
	return accountKeys{Account: Account{Config: auth.Config{RedirectURL: DefaultRedirectURL}, Location: time.UTC, Reconcile: DefaultReconcile}}
}

type providerName string

func (providerName) noun() string { return "provider" }

// Words returns the names of the providers.
func (providerName) Words() []string { return ProviderNames() }

// ProviderNames returns the names of the providers.
func ProviderNames() []string {
	var names []string
	for _, p := range provider.All() {
		names = append(names, p.Name)
	}
	return names
}

// appliesTo reports whether the provider has a use for a key of an account, by its tag "for".
func (k key) appliesTo(p provider.Provider) bool {
	switch group := k.tag.Get("for"); group {
	case "":
		return true
	case "treats":
		return p.Endpoints.Socket != ""
	case "application": // Requests tokens as an application with a client ID.
		return p.Grant != provider.PersonalToken
	case "login": // Logs in with a browser.
		return p.Grant != provider.PersonalToken && p.Grant != provider.ClientCredentials
	case "client-credentials":
		return p.Grant == provider.ClientCredentials
	default:
		panic("the key " + k.name + " is for unknown accounts: " + group)
	}
}

func (a *Account) decodeEntries(d *decoder, path string, entries []entry) {
	keys := defaultAccount()
	d.fields(path, entries, keysByName(reflect.ValueOf(&keys).Elem()))
	d.written.accounts[path] = keys
	d.secretFile(path, "client_secret", &keys.ClientSecret, &keys.ClientSecretFile)
	d.require(join(path, "provider"), "", keys.Provider == "")
	p, ok := provider.Lookup(string(keys.Provider))
	if ok {
		d.checkUse(path, p)
	}
	if p.Grant != provider.PersonalToken {
		d.require(join(path, "client_id"), "", keys.ClientID == "")
		d.require(join(path, "client_secret"), "; set it or client_secret_file", keys.ClientSecret.Empty() && !p.Login.SecretOptional && !p.Login.PKCE)
	}
	d.check(join(path, "redirect_url"), CheckURL(keys.RedirectURL))
	for _, k := range keysOf(reflect.ValueOf(keys.Endpoints)) {
		if at := join(join(path, "endpoints"), k.name); d.given(at) {
			d.check(at, checkEndpoint(k.name, k.value.String()))
		}
	}
	keys.Config.Provider = p
	if p.Grant == provider.PersonalToken || p.Grant == provider.ClientCredentials {
		keys.RedirectURL = ""
	}
	*a = keys.Account
}

// checkUse rejects the keys that the provider has no use for.
func (d *decoder) checkUse(path string, p provider.Provider) {
	unused := func(at string) {
		if d.given(at) {
			d.reject(at, "does not apply to "+p.Name+": remove it")
		}
	}
	for _, k := range keysOf(reflect.ValueOf(accountKeys{})) {
		if !k.appliesTo(p) {
			unused(join(path, k.name))
		}
	}
	if !d.given(join(path, "endpoints")) {
		return
	}
	for _, k := range keysOf(reflect.ValueOf(p.Endpoints)) {
		if k.value.String() == "" {
			unused(join(join(path, "endpoints"), k.name))
		}
	}
}

// check reports the errors that auth finds in an account without other faults.
func (a Account) check(d *decoder, name string) {
	d.checkName("accounts", name)
	path := join("accounts", name)
	if d.faults.under[path] {
		return
	}
	a.Account = name
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
