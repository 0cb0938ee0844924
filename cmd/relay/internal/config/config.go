// Package config reads relay.yaml.
//
// Each section of the file has a type in a file of its own. A field of it with a yaml tag is a key, and the only place that defines the key: the
// strict decoder, config show, the tables in docs/config.md and the JSON Schema derive from the field's type, tags and doc comment. Some keys are
// fields of other packages' types: [auth.Config], the Config of each sink, and [schedule.Policy].
//
// The package reports every fault of a file at once, each with its line, its column and the path of the key.
package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"runtime"
	"slices"

	_ "time/tzdata" // Accounts name time zones, and small systems have no list of them.

	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/sinks"
)

// Config is a valid relay.yaml. docs/config.md describes every key.
type Config struct {
	Path     string
	Accounts []Account // Sorted by name.
	Sinks    []Sink    // Sorted by name.
	Overlays map[string]Overlay
	Settings
	Warnings Faults // About a configuration that works, but should be corrected.
}

// Load reads and checks a configuration file. getenv looks up environment variables. The error is a [Faults] with every fault of the file.
func Load(path string, getenv func(string) (string, bool)) (*Config, error) {
	return loadFile(path, getenv, false)
}

// Check is [Load] for a start of relay: it also checks the contents of the files that sinks and the journal name.
func Check(path string, getenv func(string) (string, bool)) (*Config, error) {
	return loadFile(path, getenv, true)
}

// CheckText checks the text of a configuration that will be written to path, readable only by its owner. The error is a [Faults].
func CheckText(path string, text []byte, getenv func(string) (string, bool)) error {
	_, err := newDecoder(path, getenv).decode(text, 0o600)
	return err
}

func loadFile(path string, getenv func(string) (string, bool), files bool) (*Config, error) {
	text, mode, err := readFile(path)
	if err != nil {
		return nil, Faults{{File: path, Message: err.Error()}}
	}
	d := newDecoder(path, getenv)
	d.files = files
	return d.decode(text, mode)
}

// newDecoder returns a decoder for the content of the file at path, which it does not read.
func newDecoder(path string, getenv func(string) (string, bool)) *decoder {
	return &decoder{
		file: path, getenv: getenv,
		faults: faultList{at: make(map[string]bool), under: make(map[string]bool)}, at: make(map[string]place), alias: make(map[string]string),
		expanded: make(map[string]string), kept: make(map[string]string),
		written: writtenKeys{accounts: make(map[string]accountKeys), sinks: make(map[string]sinkKeys)},
	}
}

// decode decodes and checks the text of a file with that mode. The decoder then has the keys as they are written.
func (d *decoder) decode(text []byte, mode fs.FileMode) (*Config, error) {
	path, keys := d.file, defaults()
	if root := d.parseYAML(text); root != nil {
		d.value(root, "", reflect.ValueOf(&keys).Elem(), "")
		d.written.journal = keys.Journal
		keys.check(d)
	}
	if d.faults.count > 0 {
		return nil, d.faults.all(path)
	}
	c := &Config{Path: path, Overlays: keys.Overlays, Settings: keys.Settings}
	for _, name := range slices.Sorted(maps.Keys(keys.Accounts)) {
		account := keys.Accounts[name]
		account.Account = name
		c.Accounts = append(c.Accounts, account)
	}
	for _, name := range slices.Sorted(maps.Keys(keys.Sinks)) {
		sink := keys.Sinks[name]
		sink.Name = name
		c.Sinks = append(c.Sinks, sink)
	}
	if mode.Perm()&0o044 != 0 && runtime.GOOS != "windows" {
		for _, at := range d.inline {
			d.reject(at, fmt.Sprintf("a secret in a file that others may read (mode %04o): "+
				"change the mode to 0600, write ${VAR}, or move the secret to a separate file", mode.Perm()))
		}
	}
	d.rejectLooseFiles()
	if d.faults.count > 0 {
		c.Warnings = d.faults.all(path)
	}
	return c, nil
}

// Default returns the configuration of an empty file.
func Default() *Config { return &Config{Settings: defaults().Settings} }

// AccountNames returns the names of the accounts, sorted.
func (c *Config) AccountNames() []string {
	names := make([]string, len(c.Accounts))
	for i := range c.Accounts {
		names[i] = c.Accounts[i].Account
	}
	return names
}

// SinkTypes returns the names of the sinks, and the type of each.
func (c *Config) SinkTypes() (names []string, types map[string]string) {
	types = make(map[string]string, len(c.Sinks))
	for i := range c.Sinks {
		names, types[c.Sinks[i].Name] = append(names, c.Sinks[i].Name), c.Sinks[i].Type
	}
	return names, types
}

// Selections returns the rules of each sink.
func (c *Config) Selections() map[string]rules.Selection {
	all := make(map[string]rules.Selection, len(c.Sinks))
	for i := range c.Sinks {
		all[c.Sinks[i].Name] = c.Sinks[i].Lane.Selection
	}
	return all
}

// FilesHash returns a hash of the contents of the files that a sink's configuration names. A file that cannot be read counts as empty: opening the
// sink reports it.
func FilesHash(c sinks.Config) string {
	hash := sha256.New()
	for _, k := range keysOf(reflect.ValueOf(c).Elem()) {
		if k.isPath() && k.value.String() != "" {
			content, _, err := readFile(k.value.String())
			if err != nil {
				content = nil
			}
			sum := sha256.Sum256(content)
			hash.Write(sum[:])
		}
	}
	return string(hash.Sum(nil))
}

// Hash returns a hash of the content of a configuration file. It is empty if the file cannot be read.
func Hash(path string) string {
	text, _, err := readFile(path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// readFile returns the content of a file. Its errors do not contain the path.
func readFile(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path) //nolint:gosec // The path is the operator's own.
	if err != nil {
		return nil, 0, bare(err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading only.
	info, err := f.Stat()
	if err != nil {
		return nil, 0, bare(err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, 0, bare(err)
	case len(text) > maxSize:
		return nil, 0, fmt.Errorf("the file is larger than %d MiB", maxSize>>20)
	}
	return text, info.Mode(), nil
}

func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s the file: %w", p.Op, p.Err)
	}
	return err
}
