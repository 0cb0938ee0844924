// Package configview shows the configuration file to people: without secrets, and with its faults.
package configview

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// A Viewer shows a configuration file. Its methods may be called by several goroutines.
type Viewer struct {
	path   string
	getenv func(string) (string, bool)

	mu      sync.Mutex
	loaded  string
	restart []string
}

// New returns a Viewer of the file at path; empty: there is no file.
func New(path string, getenv func(string) (string, bool)) *Viewer {
	return &Viewer{path: path, getenv: getenv}
}

// Loaded records that relay has loaded the file just now. It uses the sections in restart from its next start on.
func (v *Viewer) Loaded(restart ...string) {
	if v.path == "" {
		return
	}
	shown, _, err := v.effective()
	if err != nil { // it has changed since
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loaded, v.restart = shown, restart
}

// effective returns the file as relay config show prints it, and its warnings.
func (v *Viewer) effective() (string, config.Faults, error) {
	shown, warnings, err := config.Effective(v.path, v.getenv)
	if err != nil {
		return "", nil, err
	}
	yaml, err := config.Text(shown)
	return yaml, warnings, err
}

// View returns what relay has loaded, and what is wrong with the file as it is now. If no relay runs, it returns the file as it is now.
func (v *Viewer) View() (api.Configuration, error) {
	view := api.Configuration{Warnings: []api.ConfigFault{}, Faults: []api.ConfigFault{}}
	if v.path == "" {
		return view, nil
	}
	path, err := filepath.Abs(v.path)
	if err != nil {
		return view, err
	}
	v.mu.Lock()
	view.Path, view.Text, view.Restart = path, v.loaded, v.restart
	v.mu.Unlock()
	shown, warnings, err := v.effective()
	if err == nil {
		if view.Text == "" {
			view.Text = shown
		}
		view.Warnings, view.Changed = faultsOf(warnings), shown != view.Text
		_, err = config.Check(v.path, v.getenv)
	}
	if err == nil {
		return view, nil
	}
	view.Changed = view.Text != ""
	faults, ok := errors.AsType[config.Faults](err)
	switch {
	case ok:
		view.Faults = faultsOf(faults)
		if view.Problem = text.Line(faults[0].Error()); len(faults) > 1 {
			view.Problem += fmt.Sprintf(" (the first of %d faults)", len(faults))
		}
	case view.Text == "":
		return view, err
	default: // it cannot be read any more
		view.Problem = text.Line(err.Error())
	}
	return view, nil
}

func faultsOf(all config.Faults) []api.ConfigFault {
	faults := make([]api.ConfigFault, len(all))
	for i, f := range all {
		faults[i] = api.ConfigFault{File: f.File, Line: f.Line, Column: f.Column, Path: f.Path, Message: f.Message}
	}
	return faults
}
