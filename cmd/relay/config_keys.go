package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/socket"
)

// configKeys are the keys of a configuration file.
type configKeys struct {
	Accounts map[string]AccountConfig `yaml:"accounts"`
	Sinks    map[string]SinkConfig    `yaml:"sinks"`
	Alerts   AlertsConfig             `yaml:"alerts"`
	Journal  JournalConfig            `yaml:"journal"`
	NATS     NATSConfig               `yaml:"nats"`
	HTTP     HTTPConfig               `yaml:"http"`
	Socket   SocketConfig             `yaml:"socket"`
}

func defaultConfig() configKeys {
	return configKeys{Journal: JournalConfig{Retention: 840 * time.Hour}, NATS: NATSConfig{Listen: "127.0.0.1:4222"}, Socket: defaultSocket()}
}

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
	return accountKeys{RedirectURL: "http://localhost:8919", Timezone: zone{time.UTC}, Reconcile: interval{defaultReconcile}}
}

// defaultReconcile is how often an account's history is compared with the journal.
const defaultReconcile = 15 * time.Minute

// useless reports whether a key of an account, or of its endpoints, means nothing to the provider.
func useless(key string, p auth.Provider) bool {
	switch key {
	case "timezone", "protocol", "keep_raw", "reconcile":
		return p.Endpoints.Socket == ""
	case "client_id", "client_secret", "client_secret_file", "scopes", "body_style", "audience", "params":
		return p.Grant == auth.PersonalToken
	case "redirect_url", "redirect_parameter":
		return p.Grant == auth.PersonalToken || p.Grant == auth.ClientCredentials
	case "method":
		return p.Grant != auth.ClientCredentials
	}
	endpoints := endpointKeys(p.Endpoints)
	endpoint, ok := fieldsOf(reflect.ValueOf(&endpoints).Elem())[strings.TrimPrefix(key, "endpoints.")]
	return ok && endpoint.String() == ""
}

// endpointKeys are [auth.Endpoints].
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

// sinkKeys are the keys that every sink has, beside those of its type.
type sinkKeys struct {
	Type        string     `yaml:"type"`
	Accounts    []string   `yaml:"accounts"`
	Filter      string     `yaml:"filter"`
	HideSender  senderRule `yaml:"hide_sender"`
	Tests       inclusion  `yaml:"tests"`
	Backfill    backfill   `yaml:"backfill"`
	Order       order      `yaml:"order"`
	Concurrency int        `yaml:"concurrency"`
	RateLimit   rateLimit  `yaml:"rate_limit"`
	Retry       retryKeys  `yaml:"retry"`
}

func defaultSink() sinkKeys {
	return sinkKeys{Retry: retryKeys(delivery.RetryPolicy{}.WithDefaults())}
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

type senderRule struct{ rule delivery.SenderRule }

func (senderRule) wanted() string { return "true, false or hash" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *senderRule) UnmarshalText(text []byte) error {
	switch rule := delivery.SenderRule(text); rule {
	case "false":
		r.rule = delivery.ShowSender
	case delivery.HideSender, delivery.HashSender:
		r.rule = rule
	default:
		return errors.New("no such rule")
	}
	return nil
}

// inclusion says whether events of an origin go to a sink.
type inclusion struct{ skip bool }

func (inclusion) wanted() string { return "deliver or skip" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (i *inclusion) UnmarshalText(text []byte) error {
	switch string(text) {
	case "deliver", "skip":
		i.skip = string(text) == "skip"
		return nil
	}
	return errors.New("neither deliver nor skip")
}

// backfill says how treats that were found in the history go to a sink.
type backfill struct{ rule delivery.BackfillRule }

func (backfill) wanted() string { return "deliver, skip or digest" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *backfill) UnmarshalText(text []byte) error {
	switch rule := delivery.BackfillRule(text); rule {
	case "deliver":
		b.rule = delivery.DeliverBackfill
	case delivery.SkipBackfill, delivery.DigestBackfill:
		b.rule = rule
	default:
		return errors.New("no such rule")
	}
	return nil
}

type order struct{ rule string } // empty: relaxed

const (
	orderRelaxed = "relaxed"
	orderStrict  = "strict"
	orderNone    = "none"
)

func (order) wanted() string { return "relaxed, strict or none" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *order) UnmarshalText(text []byte) error {
	switch string(text) {
	case orderRelaxed:
		o.rule = ""
		return nil
	case orderStrict, orderNone:
		o.rule = string(text)
		return nil
	}
	return errors.New("no such order")
}

type rateLimit struct{ perSecond float64 }

func (rateLimit) wanted() string { return "a number a second, minute or hour, such as 10/s or 300/m" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *rateLimit) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n == 0 || !known {
		return errors.New("no rate")
	}
	r.perSecond = float64(n) / seconds
	return nil
}

// retryKeys are a [delivery.RetryPolicy].
type retryKeys struct {
	Initial time.Duration `yaml:"initial"`
	Max     time.Duration `yaml:"max"`
	GiveUp  time.Duration `yaml:"give_up"`
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

func (a *AccountConfig) decodeEntries(d *decoder, path string, entries []entry) {
	keys := defaultAccount()
	d.fields(path, entries, fieldsOf(reflect.ValueOf(&keys).Elem()))
	d.written.accounts[path] = keys
	d.secretFile(path, "client_secret", &keys.ClientSecret, &keys.ClientSecretFile)
	d.require(join(path, "provider"), "", keys.Provider == "")
	provider, ok := auth.Lookup(keys.Provider)
	if !ok && keys.Provider != "" {
		d.unknown(join(path, "provider"), "provider", keys.Provider, providerNames())
	}
	if ok {
		d.checkUse(path, provider)
	}
	if provider.Grant != auth.PersonalToken {
		d.require(join(path, "client_id"), "", keys.ClientID == "")
		d.require(join(path, "client_secret"), "; set it or client_secret_file", keys.ClientSecret.Empty() && !provider.SecretOptional && !provider.PKCE)
	}
	d.check(join(path, "redirect_url"), checkURL(keys.RedirectURL))
	for key, field := range fieldsOf(reflect.ValueOf(&keys.Endpoints).Elem()) {
		if at := join(join(path, "endpoints"), key); d.given(at) {
			d.check(at, checkURL(field.String()))
		}
	}
	if provider.Grant == auth.PersonalToken || provider.Grant == auth.ClientCredentials {
		keys.RedirectURL = ""
	}
	*a = AccountConfig{
		Config: auth.Config{
			Provider: provider, ClientID: keys.ClientID, ClientSecret: keys.ClientSecret, RedirectURL: keys.RedirectURL,
			Endpoints: auth.Endpoints(keys.Endpoints), BaseURL: keys.BaseURL, Scopes: keys.Scopes,
			BodyStyle: auth.BodyStyle(keys.BodyStyle), Method: keys.Method, Audience: keys.Audience, Params: keys.Params,
			RedirectParameter: keys.RedirectParameter,
		},
		Location: keys.Timezone.location, Protocol: keys.Protocol.protocol, KeepRaw: keys.KeepRaw, Reconcile: keys.Reconcile.every,
	}
}

// checkUse rejects the keys that mean nothing to the provider.
func (d *decoder) checkUse(path string, provider auth.Provider) {
	keys, endpoints := defaultAccount(), endpointKeys{}
	var all []string
	for key := range fieldsOf(reflect.ValueOf(&keys).Elem()) {
		all = append(all, key)
	}
	for key := range fieldsOf(reflect.ValueOf(&endpoints).Elem()) {
		all = append(all, "endpoints."+key)
	}
	for _, key := range all {
		if at := path + "." + key; d.given(at) && useless(key, provider) {
			d.reject(at, "means nothing to "+provider.Name+": take it out")
		}
	}
}

// checkAccount reports what auth has against an account in which nothing else is wrong.
func (d *decoder) checkAccount(path string, a AccountConfig) {
	for bad := range d.bad {
		if bad == path || strings.HasPrefix(bad, path+".") {
			return
		}
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

func (s *SinkConfig) decodeEntries(d *decoder, path string, entries []entry) {
	keys := defaultSink()
	fields := fieldsOf(reflect.ValueOf(&keys).Elem())
	entries = slices.DeleteFunc(entries, func(e entry) bool {
		if e.key == "type" { // It says what the other keys may be.
			d.value(e.node, join(path, e.key), fields[e.key])
		}
		return e.key == "type"
	})
	config := sinks.NewConfig(keys.Type)
	if config == nil {
		d.require(join(path, "type"), "; known: "+strings.Join(sinks.Types(), ", "), keys.Type == "")
		d.unknown(join(path, "type"), "type", keys.Type, sinks.Types())
		entries = slices.DeleteFunc(entries, func(e entry) bool { return !fields[e.key].IsValid() })
		d.fields(path, entries, fields)
		return
	}
	keys.Concurrency = config.Concurrency()
	d.fields(path, entries, fieldsOf(reflect.ValueOf(&keys).Elem(), reflect.ValueOf(config).Elem()))
	d.written.sinks[path] = keys
	d.checkRetry(join(path, "retry"), keys.Retry)
	if at := join(path, "concurrency"); d.given(at) && keys.Concurrency < 1 {
		d.reject(at, "is less than 1: leave the key out for the default")
	}
	d.checkEach(path, config.Validate())
	*s = SinkConfig{
		Type: keys.Type, Config: config,
		Lane: delivery.LaneConfig{
			Accounts: keys.Accounts, SkipTests: keys.Tests.skip, Backfill: keys.Backfill.rule, Sender: keys.HideSender.rule, Strict: keys.Order.rule == orderStrict, Unordered: keys.Order.rule == orderNone,
			Concurrency: keys.Concurrency, PerSecond: keys.RateLimit.perSecond, Retry: delivery.RetryPolicy(keys.Retry),
		},
	}
	if at := join(path, "filter"); d.given(at) {
		var err error
		s.Lane.Filter, err = delivery.NewFilter(keys.Filter)
		d.check(at, err)
	}
}

// check looks at what one section cannot know.
func (k *configKeys) check(d *decoder) {
	for name, account := range k.Accounts {
		d.checkName("accounts", name)
		account.Account = name
		d.checkAccount(join("accounts", name), account)
	}
	for name, sink := range k.Sinks {
		d.checkName("sinks", name)
		at := join(join("sinks", name), "accounts")
		if len(sink.Lane.Accounts) == 0 && d.given(at) {
			d.reject(at, "is empty: leave the key out for all accounts")
		}
		for i, account := range sink.Lane.Accounts {
			item := fmt.Sprintf("%s[%d]", at, i)
			switch _, known := k.Accounts[account]; {
			case !known:
				d.unknown(item, "account", account, slices.Sorted(maps.Keys(k.Accounts)))
			case slices.Contains(sink.Lane.Accounts[:i], account):
				d.reject(item, "is in the list twice")
			}
		}
	}
	streams := make(map[[2]string]string) // the first sink of each
	for _, name := range slices.Sorted(maps.Keys(k.Sinks)) {
		if w, ok := k.Sinks[name].Config.(*sinks.WebhookConfig); ok && w.Account != "" {
			if _, known := k.Accounts[w.Account]; !known {
				d.unknown(join(join("sinks", name), "account"), "account", w.Account, slices.Sorted(maps.Keys(k.Accounts)))
			}
		}
		if n, ok := k.Sinks[name].Config.(*sinks.NATSConfig); ok {
			stream := [2]string{n.URL.Reveal(), n.Stream}
			if other, taken := streams[stream]; taken {
				d.reject(join("sinks", name), "publishes to the stream of "+other+", which takes each event once only: give it a stream and a subject of its own")
			}
			streams[stream] = name
		}
	}
	if d.given("alerts") {
		d.require("alerts.sink", ": name the sink that alerts go to", k.Alerts.Sink == "")
		if _, known := k.Sinks[k.Alerts.Sink]; !known && k.Alerts.Sink != "" {
			d.unknown("alerts.sink", "sink", k.Alerts.Sink, slices.Sorted(maps.Keys(k.Sinks)))
		}
	}
	j := &k.Journal
	d.secretFile("journal", "token", &j.Token, &j.TokenFile)
	if j.Retention < time.Minute {
		d.reject("journal.retention", "is less than a minute: give it a unit, as in 840h")
	}
	if d.given("journal.nats_url") {
		d.check("journal.nats_url", checkNATS(j.NATSURL.Reveal()))
	}
	for _, key := range []string{"journal.creds_file", "journal.token", "journal.replicas"} {
		if d.given(key) && !d.given("journal.nats_url") {
			d.reject(key, "is of use only with nats_url: without it the journal is in files")
		}
	}
	if j.Replicas < 0 || j.Replicas > 5 {
		d.reject("journal.replicas", "want a number from 1 to 5, and no more than the cluster has servers")
	}
	if d.given("journal.creds_file") && d.given("journal.token") {
		d.reject("journal.creds_file", "this and a token are both set: keep one of them")
	}
	d.check("nats.listen", checkListen(k.NATS.Listen))
	if k.NATS.Websocket != "" {
		d.check("nats.websocket", checkListen(k.NATS.Websocket))
	}
	if k.HTTP.Listen != "" {
		d.check("http.listen", checkListen(k.HTTP.Listen))
	}
	k.Socket.check(d)
}

// unknown rejects the name of a thing that does not exist.
func (d *decoder) unknown(path, thing, name string, valid []string) {
	d.reject(path, "unknown "+thing+d.quote(" ", path, name)+"; "+suggest(name, valid))
}

// validName matches what an account or a sink may be called, and nameRule says so.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

const nameRule = "a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit"

func (d *decoder) checkName(section, name string) {
	if at := join(section, name); !validName.MatchString(name) {
		d.report(d.at[at].key, at, nameRule)
	}
}

func (d *decoder) checkRetry(path string, r retryKeys) {
	for key, value := range map[string]time.Duration{"initial": r.Initial, "max": r.Max, "give_up": r.GiveUp} {
		if value < time.Millisecond {
			d.reject(join(path, key), "is less than a millisecond: give it a unit, as in 10s")
		}
	}
	if r.Max < r.Initial {
		d.reject(join(path, "max"), fmt.Sprintf("is less than initial (%v)", r.Initial))
	}
}

// checkEach reports the errors that are joined in err.
func (d *decoder) checkEach(path string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			d.checkEach(path, e)
		}
		return
	}
	if f, ok := errors.AsType[*sinks.FieldError](err); ok {
		path, err = path+"."+f.Field, f.Err
	}
	d.check(path, err)
}

// checkURL accepts https, and plain http to this machine. Its errors do not quote the URL, which may hold a token.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("want a URL such as https://HOST/PATH")
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("the URL must be without user, password and #")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return errors.New("plain http goes to localhost only: use https")
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}

// checkNATS does not quote the URL, which may hold a password.
func checkNATS(servers string) error {
	for server := range strings.SplitSeq(servers, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("want a URL such as nats://HOST:4222 or tls://HOST:4222, several with commas between")
		}
	}
	return nil
}

func checkListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
		return errors.New("want an address and a port, such as 127.0.0.1:4222")
	}
	return nil
}
