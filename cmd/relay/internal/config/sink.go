package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/sinks"
)

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
	return sinkKeys{Retry: retryKeys(schedule.Policy{}.WithDefaults())}
}

// retryKeys are a [schedule.Policy].
type retryKeys struct {
	Initial time.Duration `yaml:"initial"`
	Max     time.Duration `yaml:"max"`
	GiveUp  time.Duration `yaml:"give_up"`
}

// oneOf reads a word that is one of several: empty for the first, which is the default. The message is that of the key's wanted.
func oneOf[T ~string](text []byte, usual string, others ...T) (T, error) {
	word := T(text)
	switch {
	case string(text) == usual:
		return "", nil
	case slices.Contains(others, word):
		return word, nil
	}
	return "", errors.New("no such word")
}

type senderRule struct{ rule rules.SenderRule }

func (senderRule) wanted() string { return "true, false or hash" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *senderRule) UnmarshalText(text []byte) (err error) {
	r.rule, err = oneOf(text, "false", rules.HideSender, rules.HashSender)
	return err
}

// inclusion says whether events of an origin go to a sink.
type inclusion struct{ skip bool }

func (inclusion) wanted() string { return "deliver or skip" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (i *inclusion) UnmarshalText(text []byte) error {
	word, err := oneOf(text, "deliver", "skip")
	i.skip = word == "skip"
	return err
}

// backfill says how treats that were found in the history go to a sink.
type backfill struct{ rule rules.BackfillRule }

func (backfill) wanted() string { return "deliver, skip or digest" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *backfill) UnmarshalText(text []byte) (err error) {
	b.rule, err = oneOf(text, "deliver", rules.SkipBackfill, rules.DigestBackfill)
	return err
}

type order struct{ rule string } // empty: relaxed

const (
	orderRelaxed = "relaxed"
	orderStrict  = "strict"
	orderNone    = "none"
)

func (order) wanted() string { return "relaxed, strict or none" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *order) UnmarshalText(text []byte) (err error) {
	o.rule, err = oneOf(text, orderRelaxed, orderStrict, orderNone)
	return err
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

func (s *Sink) decodeEntries(d *decoder, path string, entries []entry) {
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
	if d.files && !d.faults.under[path] {
		d.checkEach(path, config.CheckFiles())
	}
	*s = Sink{
		Type: keys.Type, Config: config,
		Lane: delivery.LaneConfig{
			Selection: rules.Selection{Accounts: keys.Accounts, SkipTests: keys.Tests.skip, Backfill: keys.Backfill.rule, Sender: keys.HideSender.rule},
			Strict:    keys.Order.rule == orderStrict, Unordered: keys.Order.rule == orderNone,
			Concurrency: keys.Concurrency, PerSecond: keys.RateLimit.perSecond, Retry: schedule.Policy(keys.Retry),
		},
	}
	if at := join(path, "filter"); d.given(at) {
		var err error
		s.Lane.Filter, err = rules.NewFilter(keys.Filter)
		d.check(at, err)
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
