package config

import (
	"maps"
	"slices"
)

// Alerts is the section alerts.
type Alerts struct {
	// The sink that gets a message when another one is down, disabled or gives up an event, and when it works again.
	//
	// Default: none.
	Sink string `yaml:"sink" value:"name of a sink"` // Empty: no alerts.
}

func (a Alerts) check(d *decoder, file *sections) {
	if !d.given("alerts") {
		return
	}
	d.require("alerts.sink", ": name the sink that alerts go to", a.Sink == "")
	if _, known := file.Sinks[a.Sink]; !known && a.Sink != "" {
		d.unknown("alerts.sink", "sink", a.Sink, slices.Sorted(maps.Keys(file.Sinks)))
	}
}
