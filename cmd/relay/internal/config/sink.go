package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/sinks"
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/webhook"
	"github.com/treatrelay/relay/web/overlay"
)

// Sink is one entry of the section sinks.
type Sink struct {
	Name   string
	Type   string
	Lane   delivery.LaneConfig // The part that comes from the file.
	Config sinks.Config
}

// sinkKeys are the keys of every sink. Each type has more, in its [sinks.Config].
type sinkKeys struct {
	// The type of destination.
	//
	// Required.
	Type sinkType `yaml:"type"`
	// Deliver only the events of these accounts.
	//
	// Default: all.
	Accounts []string `yaml:"accounts" value:"list of names"`
	// Deliver only the events that match, such as `data.title contains "pizza" and not data.anonymous`; see [Filters](#filters).
	//
	// Default: all events.
	Filter string `yaml:"filter" value:"expression"`
	// `true`: as if the treat were anonymous. `hash`: `viewer-` and 16 hex digits instead of the name, the same for the same name.
	HideSender option[rules.SenderRule] `yaml:"hide_sender"`
	// Whether the sink gets the test treats of `relay trigger`.
	Tests option[testRule] `yaml:"tests"`
	// How the sink gets treats that relay missed live and found in the history later: one by one, not at all, or as
	// [one digest](sinks.md#digests-of-missed-treats) each time.
	Backfill option[rules.BackfillRule] `yaml:"backfill"`
	// `relaxed`: an event that failed five times, or has to wait for more than a minute, is deferred, and later ones pass it. `strict`: nothing
	// passes it. `none`: relay delivers `concurrency` events of one account at a time (16 if that is any), in no particular order.
	Order option[order] `yaml:"order"`
	// How many deliveries run at a time; one per account, unless `order` is `none`.
	//
	// Default: webhook 16, discord and slack 1, else any.
	Concurrency int `yaml:"concurrency" min:"1"`
	// How many deliveries start per second, minute or hour, evenly spaced.
	//
	// Default: none.
	RateLimit rateLimit       `yaml:"rate_limit" value:"'N/s', 'N/m' or 'N/h'"`
	Retry     schedule.Policy `yaml:"retry"`
}

func defaultSink() sinkKeys { return sinkKeys{Retry: schedule.Policy{}.WithDefaults()} }

type sinkType string

func (sinkType) noun() string { return "type" }

// Words returns the types of sinks.
func (sinkType) Words() []string { return sinks.Types() }

// An option is one of the words of T. The first one is the default, and T's zero value.
type option[T interface {
	~string
	Words() []string
}] struct{ value T }

// Words returns the words of T.
func (o option[T]) Words() []string { return o.value.Words() }

// UnmarshalText implements [encoding.TextUnmarshaler] for one of the words.
func (o *option[T]) UnmarshalText(text []byte) error {
	o.value = T(text)
	if string(text) == o.Words()[0] {
		o.value = ""
	}
	return nil
}

// String returns the word.
func (o option[T]) String() string {
	if o.value == "" {
		return o.Words()[0]
	}
	return string(o.value)
}

// testRule is whether a sink gets test treats.
type testRule string

const skipTests testRule = "skip"

// Words returns the rules.
func (testRule) Words() []string { return []string{"deliver", string(skipTests)} }

// order is how far a sink keeps the order of an account's events.
type order string

const (
	orderStrict order = "strict"
	orderNone   order = "none"
)

// Words returns the orders.
func (order) Words() []string { return []string{"relaxed", string(orderStrict), string(orderNone)} }

func (s *Sink) decodeEntries(d *decoder, path string, entries []entry) {
	keys := defaultSink()
	all := keysByName(reflect.ValueOf(&keys).Elem())
	entries = slices.DeleteFunc(entries, func(e entry) bool {
		if e.key == "type" { // The other keys depend on it.
			d.value(e.node, join(path, e.key), all[e.key].value, "")
		}
		return e.key == "type"
	})
	config := sinks.NewConfig(string(keys.Type))
	if config == nil {
		d.require(join(path, "type"), "; known: "+strings.Join(sinks.Types(), ", "), true)
		entries = slices.DeleteFunc(entries, func(e entry) bool { return all[e.key].name == "" })
		d.fields(path, entries, all)
		return
	}
	keys.Concurrency = config.Concurrency()
	d.fields(path, entries, keysByName(reflect.ValueOf(&keys).Elem(), reflect.ValueOf(config).Elem()))
	d.written.sinks[path] = keys
	if at := join(path, "retry"); keys.Retry.Max < keys.Retry.Initial && !d.faults.at[join(at, "initial")] {
		d.reject(join(at, "max"), fmt.Sprintf("is less than initial (%s)", WrittenDuration(keys.Retry.Initial)))
	}
	d.checkEach(path, config.Validate())
	if d.files && !d.faults.under[path] {
		d.checkEach(path, config.CheckFiles())
	}
	*s = Sink{Type: string(keys.Type), Config: config, Lane: keys.lane()}
	if at := join(path, "filter"); d.given(at) {
		var err error
		s.Lane.Filter, err = rules.NewFilter(keys.Filter)
		d.check(at, err)
	}
}

// lane returns the lane that the keys describe, except for its filter.
func (k sinkKeys) lane() delivery.LaneConfig {
	return delivery.LaneConfig{
		Selection: rules.Selection{
			Accounts: k.Accounts, SkipTests: k.Tests.value == skipTests, Backfill: k.Backfill.value, Sender: k.HideSender.value,
		},
		Strict: k.Order.value == orderStrict, Unordered: k.Order.value == orderNone,
		Concurrency: k.Concurrency, PerSecond: k.RateLimit.perSecond, Retry: k.Retry,
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
	if s, ok := errors.AsType[*overlay.SettingError](err); ok {
		path, err = below(path, s.Key), s.Err
	}
	d.check(path, err)
}

// checkSinks reports sinks that name unknown accounts or get in each other's way.
func (s *sections) checkSinks(d *decoder) {
	accounts := slices.Sorted(maps.Keys(s.Accounts))
	for name, sink := range s.Sinks {
		d.checkName("sinks", name)
		s.checkAccounts(d, join(join("sinks", name), "accounts"), sink.Lane.Accounts, accounts)
		if w, ok := sink.Config.(*webhook.Config); ok && w.Account != "" {
			if _, known := s.Accounts[w.Account]; !known {
				d.unknown(join(join("sinks", name), "account"), "account", w.Account, accounts)
			}
		}
	}
	streams := make(map[[2]string]string) // The first sink of each.
	own := make(map[string]*natssink.Config)
	for _, name := range slices.Sorted(maps.Keys(s.Sinks)) {
		n, ok := s.Sinks[name].Config.(*natssink.Config)
		if !ok {
			continue
		}
		stream := [2]string{n.URL.Reveal(), n.Stream}
		if other, taken := streams[stream]; taken {
			d.reject(join("sinks", name), "publishes to the stream of "+other+", which accepts each event only once: give it its own stream and subject")
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

// checkAccounts checks a list of accounts, which is at a path. all are the names of all accounts.
func (s *sections) checkAccounts(d *decoder, path string, list, all []string) {
	if len(list) == 0 && d.given(path) {
		d.reject(path, "is empty: leave the key out for all accounts")
	}
	listed := make(map[string]bool, len(list))
	for i, account := range list {
		item := fmt.Sprintf("%s[%d]", path, i)
		switch _, known := s.Accounts[account]; {
		case !known:
			d.unknown(item, "account", account, all)
		case listed[account]:
			d.reject(item, "is in the list twice")
		}
		listed[account] = true
	}
}

// maxCompared bounds how many sinks each one is compared with, for files with very many.
const maxCompared = 64

// checkOverlap rejects a sink whose stream stores subjects that the stream of another sink stores on relay's own server.
func (d *decoder) checkOverlap(name string, n *natssink.Config, others map[string]*natssink.Config) {
	for _, other := range slices.Sorted(maps.Keys(others)) {
		if o := others[other]; o.Stream != n.Stream && n.Overlaps(o) {
			d.reject(join("sinks", name), "takes subjects that the stream of "+other+" takes already: give it a subject of its own, such as shop.{provider}.{account}")
			return
		}
	}
}
