package config

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/treatrelay/relay/web/overlay"
)

// Overlay is one entry of the section overlays.
type Overlay struct {
	overlay.Settings `yaml:",inline"`
}

func (o *Overlay) decodeEntries(d *decoder, path string, entries []entry) {
	keys := Overlay{overlay.NewSettings()}
	d.fields(path, entries, keysByName(reflect.ValueOf(&keys).Elem()))
	for _, err := range faultsOf(keys.Check()) {
		if s, ok := errors.AsType[*overlay.SettingError](err); ok {
			d.reject(join(path, s.Key), s.Err.Error())
		} else {
			d.reject(path, err.Error())
		}
	}
	*o = keys
}

// faultsOf returns the errors that were joined.
func faultsOf(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only the outermost error is a list
		return many.Unwrap()
	}
	return []error{err}
}

// checkOverlays reports the faults of overlays that need other sections to be seen.
func (s *sections) checkOverlays(d *decoder) {
	accounts := slices.Sorted(maps.Keys(s.Accounts))
	for name, o := range s.Overlays {
		d.check(join("overlays", name), overlay.CheckName(name))
		s.checkAccounts(d, join(join("overlays", name), "accounts"), o.Accounts, accounts)
	}
}

// OverlaySettings returns the settings of the overlays by their names.
func (c *Config) OverlaySettings() map[string]overlay.Settings {
	all := make(map[string]overlay.Settings, len(c.Overlays))
	for name, o := range c.Overlays {
		all[name] = o.Settings
	}
	return all
}
