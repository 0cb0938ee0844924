package config

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/socket"
)

// masked is what is shown of a secret.
const masked = "***"

// Effective reads and checks a configuration file, and returns its keys with the defaults filled in, paths made absolute
// and secrets masked, and what should be corrected in it.
func Effective(path string, getenv func(string) (string, bool)) (yaml.MapSlice, Faults, error) {
	text, mode, err := readFile(path)
	if err != nil {
		return nil, nil, Faults{{File: path, Message: err.Error()}}
	}
	d := newDecoder(path, getenv)
	c, err := d.decode(text, mode)
	if err != nil {
		return nil, nil, err
	}
	accounts, destinations := yaml.MapSlice{}, yaml.MapSlice{}
	for _, a := range c.Accounts {
		at := join("accounts", a.Account)
		keys := d.written.accounts[at]
		e := a.Effective()
		keys.Endpoints, keys.BaseURL, keys.Scopes = endpointKeys(e.Endpoints), e.BaseURL, e.Scopes
		keys.BodyStyle, keys.Method, keys.RedirectParameter = string(e.BodyStyle), e.Method, e.RedirectParameter
		means := func(key string) bool { return !useless(key, a.Provider) }
		accounts = append(accounts, yaml.MapItem{Key: a.Account, Value: d.shownKeys(at, means, reflect.ValueOf(keys))})
	}
	for _, s := range c.Sinks {
		at := join("sinks", s.Name)
		keys := d.written.sinks[at]
		destinations = append(destinations, yaml.MapItem{Key: s.Name, Value: d.shownKeys(at, nil, reflect.ValueOf(keys), reflect.ValueOf(s.Config).Elem())})
	}
	shown := yaml.MapSlice{{Key: "accounts", Value: accounts}, {Key: "sinks", Value: destinations}}
	servers := fileKeys{Alerts: c.Alerts, Journal: d.written.journal, NATS: c.NATS, HTTP: c.HTTP, Socket: c.Socket}
	return append(shown, d.shownKeys("", nil, reflect.ValueOf(servers))...), c.Warnings, nil
}

// shownKeys are the fields of structs, which stand at path, that have a value. If means is given it tells the keys of use.
func (d *decoder) shownKeys(path string, means func(key string) bool, structs ...reflect.Value) yaml.MapSlice {
	shown := yaml.MapSlice{}
	for _, s := range structs {
		for key, field := range keysOf(s) {
			if means != nil && !means(key) {
				continue
			}
			if value := d.shownValue(join(path, key), field); value != nil {
				shown = append(shown, yaml.MapItem{Key: key, Value: value})
			}
		}
	}
	return shown
}

// shownValue is the value of the key at path as a configuration has it, or nil if there is none.
func (d *decoder) shownValue(path string, v reflect.Value) any {
	switch {
	case isSection(v.Type()):
		if keys := d.shownKeys(path, nil, v); len(keys) > 0 {
			return keys
		}
		return nil
	case v.Kind() == reflect.Slice && v.Len() > 0:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = d.shownValue(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
		return list
	case v.Kind() == reflect.Map && v.Len() > 0:
		keys := yaml.MapSlice{}
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }) {
			keys = append(keys, yaml.MapItem{Key: key.String(), Value: d.shownValue(join(path, key.String()), v.MapIndex(key))})
		}
		return keys
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map:
		return nil
	case v.Type() == reflect.TypeFor[secret.String]():
		if v.IsZero() {
			return nil
		}
		return masked
	case v.Kind() == reflect.String && v.String() == "":
		return nil
	case v.Kind() == reflect.String && strings.HasSuffix(path, "_file"):
		if absolute, err := filepath.Abs(v.String()); err == nil {
			return absolute
		}
		return v.String()
	case v.Kind() == reflect.String:
		if raw, ok := d.expanded[path]; ok { // What a variable holds may be a secret.
			return raw
		}
		return strings.ReplaceAll(v.String(), "${", "$${")
	}
	return writtenValue(v.Interface())
}

// writtenValue is how a value that is no plain text is written in a configuration; nil if it says nothing.
func writtenValue(value any) any {
	switch v := value.(type) {
	case bool:
		return v
	case int:
		if v == 0 {
			return nil
		}
		return v
	case time.Duration:
		return WrittenDuration(v)
	case interval:
		return writtenInterval(v.every)
	case keepalive:
		return writtenInterval(v.every)
	case senderRule:
		if v.rule == rules.HashSender {
			return string(v.rule)
		}
		return v.rule == rules.HideSender
	case inclusion:
		return choose(v.skip, "skip", "deliver")
	case backfill:
		return cmp.Or(string(v.rule), "deliver")
	case order:
		return cmp.Or(v.rule, orderRelaxed)
	case rateLimit:
		return writtenRate(v.perSecond)
	case zone:
		return v.location.String()
	case revision:
		if v.protocol != socket.Auto {
			return int(v.protocol)
		}
		return v.protocol.String()
	}
	panic(fmt.Sprintf("a configuration has a field of type %T, which cannot be shown", value))
}

func choose(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

func writtenInterval(every time.Duration) string {
	if every == 0 {
		return "off"
	}
	return WrittenDuration(every)
}

// WrittenDuration leaves out the minutes and seconds that are zero.
func WrittenDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// writtenRate counts in the shortest unit in which the rate is a whole number.
func writtenRate(perSecond float64) any {
	if perSecond == 0 {
		return nil
	}
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}} {
		if n := perSecond * unit.seconds; math.Abs(n-math.Round(n)) < 1e-6 {
			return fmt.Sprintf("%.0f/%s", n, unit.name)
		}
	}
	return fmt.Sprintf("%.0f/h", perSecond*3600)
}

// Plain makes maps of keys in an order, for JSON.
func Plain(value any) any {
	switch v := value.(type) {
	case yaml.MapSlice:
		keys := make(map[string]any, len(v))
		for _, item := range v {
			keys[fmt.Sprint(item.Key)] = Plain(item.Value)
		}
		return keys
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = Plain(v[i])
		}
		return list
	}
	return value
}
