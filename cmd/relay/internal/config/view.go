package config

import (
	"errors"
	"path/filepath"
	"sync"

	"github.com/goccy/go-yaml"
)

// View is a configuration file as people see it.
type View struct {
	Path     string // absolute; empty: there is no file
	Text     string // as relay config show prints it, without secrets
	Warnings Faults
	Faults   Faults // of the file as it is now; then Text is that of the file when it was loaded
}

// A Viewer shows a configuration file. Its methods may be called by several goroutines.
type Viewer struct {
	path   string
	getenv func(string) (string, bool)

	mu     sync.Mutex
	loaded string
}

// NewViewer returns a Viewer of the file at path; empty: there is no file.
func NewViewer(path string, getenv func(string) (string, bool)) *Viewer {
	return &Viewer{path: path, getenv: getenv}
}

// Loaded records that the file was loaded just now.
func (v *Viewer) Loaded() {
	if v.path == "" {
		return
	}
	text, _, err := effectiveText(v.path, v.getenv)
	if err != nil { // it has changed since
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loaded = text
}

// View reads the file and returns how it looks now.
func (v *Viewer) View() (View, error) {
	if v.path == "" {
		return View{}, nil
	}
	path, err := filepath.Abs(v.path)
	if err != nil {
		return View{}, err
	}
	view := View{Path: path}
	view.Text, view.Warnings, err = effectiveText(v.path, v.getenv)
	if err == nil {
		_, err = Check(v.path, v.getenv)
	}
	if err == nil {
		return view, nil
	}
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		return View{}, err
	}
	view.Faults = faults
	v.mu.Lock()
	defer v.mu.Unlock()
	view.Text = v.loaded
	return view, nil
}

// effectiveText is [Effective] as YAML.
func effectiveText(path string, getenv func(string) (string, bool)) (string, Faults, error) {
	shown, warnings, err := Effective(path, getenv)
	if err != nil {
		return "", nil, err
	}
	text, err := Text(shown)
	return text, warnings, err
}

// Text returns the result of [Effective] as YAML.
func Text(shown yaml.MapSlice) (string, error) {
	text, err := yaml.MarshalWithOptions(shown, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	return string(text), err
}
