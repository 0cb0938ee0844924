package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/webhook"
)

// Defaults that commands show.
const (
	DefaultRetention  = 840 * time.Hour
	DefaultNATSListen = "127.0.0.1:4222"
)

// fileKeys are the keys of a configuration file.
type fileKeys struct {
	Accounts map[string]Account `yaml:"accounts"`
	Sinks    map[string]Sink    `yaml:"sinks"`
	Alerts   Alerts             `yaml:"alerts"`
	Journal  Journal            `yaml:"journal"`
	NATS     NATS               `yaml:"nats"`
	HTTP     HTTP               `yaml:"http"`
	Socket   Socket             `yaml:"socket"`
}

func defaults() fileKeys {
	return fileKeys{Journal: Journal{Retention: DefaultRetention}, NATS: NATS{Listen: DefaultNATSListen}, Socket: defaultSocket()}
}

// check looks at what one section cannot know.
func (k *fileKeys) check(d *decoder) {
	for name, account := range k.Accounts {
		d.checkName("accounts", name)
		account.Account = name
		d.checkAccount(join("accounts", name), account)
	}
	k.checkSinks(d)
	k.Journal.check(d)
	d.check("nats.listen", checkListen(k.NATS.Listen))
	if k.NATS.Websocket != "" {
		d.check("nats.websocket", checkListen(k.NATS.Websocket))
	}
	if k.HTTP.Listen != "" {
		d.check("http.listen", checkListen(k.HTTP.Listen))
	}
	k.Socket.check(d)
	k.checkPorts(d)
}

// checkSinks checks what the sinks, and the alerts that go to one, say of others.
func (k *fileKeys) checkSinks(d *decoder) {
	accounts := slices.Sorted(maps.Keys(k.Accounts))
	for name, sink := range k.Sinks {
		d.checkName("sinks", name)
		at := join(join("sinks", name), "accounts")
		if len(sink.Lane.Accounts) == 0 && d.given(at) {
			d.reject(at, "is empty: leave the key out for all accounts")
		}
		listed := make(map[string]bool, len(sink.Lane.Accounts))
		for i, account := range sink.Lane.Accounts {
			item := fmt.Sprintf("%s[%d]", at, i)
			switch _, known := k.Accounts[account]; {
			case !known:
				d.unknown(item, "account", account, accounts)
			case listed[account]:
				d.reject(item, "is in the list twice")
			}
			listed[account] = true
		}
	}
	streams := make(map[[2]string]string) // the first sink of each
	own := make(map[string]*natssink.Config)
	for _, name := range slices.Sorted(maps.Keys(k.Sinks)) {
		if w, ok := k.Sinks[name].Config.(*webhook.Config); ok && w.Account != "" {
			if _, known := k.Accounts[w.Account]; !known {
				d.unknown(join(join("sinks", name), "account"), "account", w.Account, accounts)
			}
		}
		if n, ok := k.Sinks[name].Config.(*natssink.Config); ok {
			stream := [2]string{n.URL.Reveal(), n.Stream}
			if other, taken := streams[stream]; taken {
				d.reject(join("sinks", name), "publishes to the stream of "+other+", which takes each event once only: give it a stream and a subject of its own")
			}
			streams[stream] = name
			if n.URL.Empty() {
				d.checkOverlap(name, n, own)
				if len(own) < maxCompared {
					own[name] = n
				}
			}
		}
	}
	if d.given("alerts") {
		d.require("alerts.sink", ": name the sink that alerts go to", k.Alerts.Sink == "")
		if _, known := k.Sinks[k.Alerts.Sink]; !known && k.Alerts.Sink != "" {
			d.unknown("alerts.sink", "sink", k.Alerts.Sink, slices.Sorted(maps.Keys(k.Sinks)))
		}
	}
}

// maxCompared bounds how many sinks each one is compared with, for files with very many.
const maxCompared = 64

// checkOverlap refuses a sink whose stream takes subjects that one of another sink takes on relay's own server.
func (d *decoder) checkOverlap(name string, n *natssink.Config, others map[string]*natssink.Config) {
	for _, other := range slices.Sorted(maps.Keys(others)) {
		if o := others[other]; o.Stream != n.Stream && n.Overlaps(o) {
			d.reject(join("sinks", name), "takes subjects that the stream of "+other+" takes already: give it a subject of its own, such as shop.{provider}.{account}")
			return
		}
	}
}

// unknown rejects the name of a thing that does not exist.
func (d *decoder) unknown(path, thing, name string, valid []string) {
	message := "unknown " + thing + d.quote(" ", path, name)
	if d.faults.shows(d.placeOf(path)) {
		message += "; " + text.Suggest(name, valid)
	}
	d.reject(path, message)
}

// ValidName matches what an account or a sink may be called, and nameRule says so.
var ValidName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// NameRule says what [ValidName] matches.
const NameRule = "a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit"

func (d *decoder) checkName(section, name string) {
	if at := join(section, name); !ValidName.MatchString(name) {
		d.report(d.at[at].key, at, NameRule)
	}
}

// ProviderNames are those of the known providers.
func ProviderNames() []string {
	var names []string
	for _, p := range provider.All() {
		names = append(names, p.Name)
	}
	return names
}
