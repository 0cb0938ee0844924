package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/treatrelay/relay/web/overlay"
)

// Overlay is one entry of the section overlays.
type Overlay struct {
	overlay.Settings `yaml:",inline"`
}

func defaultOverlay() Overlay { return Overlay{overlay.NewSettings()} }

func (o *Overlay) decodeEntries(d *decoder, path string, entries []entry) {
	*o = defaultOverlay()
	d.fields(path, entries, keysByName(reflect.ValueOf(o).Elem()))
	d.checkEach(path, o.Check())
}

// below returns the path of a setting, such as position.x or hide_words[2], of the section at a path.
func below(path, setting string) string {
	for step := range strings.SplitSeq(setting, ".") {
		name, index, found := strings.Cut(step, "[")
		path = join(path, name)
		if found {
			path += "[" + index
		}
	}
	return path
}

// checkOverlays reports the faults of overlays that need other sections to be seen.
func (s *sections) checkOverlays(d *decoder) {
	accounts := slices.Sorted(maps.Keys(s.Accounts))
	for name, o := range s.Overlays {
		d.checkName("overlays", name)
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
