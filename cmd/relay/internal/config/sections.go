package config

import (
	"reflect"
	"regexp"
	"slices"

	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// sections are the sections of a configuration file.
type sections struct {
	// Each account is one login at a provider.
	Accounts map[string]Account `yaml:"accounts"`
	// Each sink is one destination.
	Sinks map[string]Sink `yaml:"sinks"`
	// Each overlay is a page with alerts, for OBS.
	Overlays map[string]Overlay `yaml:"overlays"`
	Settings `yaml:",inline"`
}

// Settings are the sections about relay as a whole. They take effect when relay starts; a reload does not apply them.
type Settings struct {
	// Where relay reports trouble.
	Alerts Alerts `yaml:"alerts"`
	// Where relay keeps the events.
	Journal Journal `yaml:"journal"`
	// The NATS server inside relay, for overlays.
	NATS NATS `yaml:"nats"`
	// The HTTP server for the dashboard, the overlays, health checks and metrics.
	HTTP HTTP `yaml:"http"`
	// The connections to realtime servers.
	Socket Socket `yaml:"socket"`
}

func defaults() sections {
	return sections{Settings: Settings{
		Journal: Journal{Retention: DefaultRetention}, NATS: NATS{Listen: DefaultNATSListen}, Socket: defaultSocket(),
		HTTP: HTTP{Listen: DefaultHTTPListen},
	}}
}

// check reports the faults that need more than one key to be seen.
func (s *sections) check(d *decoder) {
	for name, account := range s.Accounts {
		account.check(d, name)
	}
	s.checkSinks(d)
	s.checkOverlays(d)
	for _, k := range keysOf(reflect.ValueOf(&s.Settings).Elem()) {
		if section, ok := reflect.TypeAssert[checker](k.value.Addr()); ok {
			section.check(d, s)
		}
	}
}

// A checker is a section with faults that need more than one key to be seen.
type checker interface {
	check(d *decoder, file *sections)
}

// Differences returns the names of the sections that are not the same in other.
func (s Settings) Differences(other Settings) []string {
	var names []string
	others := keysByName(reflect.ValueOf(other))
	for _, k := range keysOf(reflect.ValueOf(s)) {
		if !reflect.DeepEqual(k.value.Interface(), others[k.name].value.Interface()) {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// unknown rejects the name of something that does not exist.
func (d *decoder) unknown(path, thing, name string, valid []string) {
	message := "unknown " + thing + d.quote(" ", path, name)
	if d.faults.shows(d.placeOf(path)) {
		message += "; " + text.Suggest(name, valid)
	}
	d.reject(path, message)
}

// ValidName matches the names that accounts and sinks may have. [NameRule] describes them.
var ValidName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// NameRule describes [ValidName].
const NameRule = "a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit"

func (d *decoder) checkName(section, name string) {
	if at := join(section, name); !ValidName.MatchString(name) {
		d.report(d.at[at].key, at, NameRule)
	}
}
