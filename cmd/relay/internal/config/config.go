// Package config reads relay.yaml: its sections and their keys, the defaults, and what is wrong with it, each fault with its place.
package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	_ "time/tzdata" // accounts name time zones, and small systems have no list of them

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/socket"
)

// Config is a relay.yaml that was found to be right. docs/config.md describes every key.
type Config struct {
	Path     string
	Accounts []Account // sorted by name
	Sinks    []Sink    // sorted by name
	Alerts   Alerts
	Journal  Journal
	NATS     NATS
	HTTP     HTTP
	Socket   Socket
	Warnings Faults // what works but should be corrected
}

// Account is one entry of accounts.
type Account struct {
	auth.Config                 // its field Account is the name
	Location    *time.Location  // of the provider's dates
	Protocol    socket.Protocol // of the realtime server
	KeepRaw     bool            // events keep the keys relay does not know
	Reconcile   time.Duration   // how often the provider's history is compared; 0: only when asked to
	// BackfillFirstRun is of the command line: deliver what the history holds at the first comparison.
	BackfillFirstRun bool
}

// Receives reports whether the account is one that receives treats.
func (a Account) Receives() bool { return a.Provider.Endpoints.Socket != "" }

// Sink is one entry of sinks.
type Sink struct {
	Name   string
	Type   string
	Lane   delivery.LaneConfig // what is configured of it
	Config sinks.Config
}

// Load reads and checks a configuration file. getenv looks up what ${VAR} stands for. The error is a [Faults]
// with every fault of the file.
func Load(path string, getenv func(string) (string, bool)) (*Config, error) {
	return loadFile(path, getenv, false)
}

// Check is [Load] for a start: it finds fault with what the files hold that the configuration names, too, as opening the sinks would.
func Check(path string, getenv func(string) (string, bool)) (*Config, error) {
	return loadFile(path, getenv, true)
}

// CheckText checks what a file at path is to say. It is for the user only.
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

// newDecoder makes the decoder of what a file at that path says or is to say.
func newDecoder(path string, getenv func(string) (string, bool)) *decoder {
	return &decoder{
		file: path, getenv: getenv,
		faults: faultList{at: make(map[string]bool), under: make(map[string]bool)}, at: make(map[string]place), alias: make(map[string]string),
		expanded: make(map[string]string),
		written:  writtenKeys{accounts: make(map[string]accountKeys), sinks: make(map[string]sinkKeys)},
	}
}

// decode checks what a file with that mode says. The decoder knows then how it is written.
func (d *decoder) decode(text []byte, mode fs.FileMode) (*Config, error) {
	path, keys := d.file, defaults()
	if root := d.parseYAML(text); root != nil {
		d.value(root, "", reflect.ValueOf(&keys).Elem())
		d.written.journal = keys.Journal
		keys.check(d)
	}
	if d.faults.count > 0 {
		return nil, d.faults.all(path)
	}
	c := &Config{Path: path, Alerts: keys.Alerts, Journal: keys.Journal, NATS: keys.NATS, HTTP: keys.HTTP, Socket: keys.Socket}
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
				"make that 0600, or write ${VAR}, or keep it in a file of its own", mode.Perm()))
		}
		c.Warnings = d.faults.all(path)
	}
	return c, nil
}

// SinkTypes returns the names of the sinks, and the type of each.
func (c *Config) SinkTypes() (names []string, types map[string]string) {
	types = make(map[string]string, len(c.Sinks))
	for i := range c.Sinks {
		names, types[c.Sinks[i].Name] = append(names, c.Sinks[i].Name), c.Sinks[i].Type
	}
	return names, types
}

// FilesSum is a hash of what the files hold that a sink's configuration names. One that cannot be read counts as empty: opening the sink
// reports it.
func FilesSum(c sinks.Config) string {
	hash := sha256.New()
	for key, field := range keysOf(reflect.ValueOf(c).Elem()) {
		if strings.HasSuffix(key, "_file") && field.Kind() == reflect.String && field.String() != "" {
			content, _, err := readFile(field.String())
			if err != nil {
				content = nil
			}
			sum := sha256.Sum256(content)
			hash.Write(sum[:])
		}
	}
	return string(hash.Sum(nil))
}

// Sum tells one content of a configuration file from another. It is empty if there is none to be read.
func Sum(path string) string {
	text, _, err := readFile(path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// readFile returns what a file holds. Its errors leave out the path.
func readFile(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path) //nolint:gosec // The path is the operator's own.
	if err != nil {
		return nil, 0, bare(err)
	}
	defer f.Close() //nolint:errcheck // It was only read.
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

// Find returns the path of the configuration file: flag, else $RELAY_CONFIG, else relay.yaml in the working folder,
// else relay/relay.yaml in the user's configuration folder. The path is empty if there is none. It is an error if a file
// was named and is not there.
func Find(flag string, getenv func(string) (string, bool)) (string, error) {
	named, from := flag, "--config"
	if named == "" {
		named, _ = getenv("RELAY_CONFIG")
		from = "RELAY_CONFIG"
	}
	if named != "" {
		if err := checkFile(named); err != nil {
			return "", fmt.Errorf("find the configuration file that %s names: %w", from, err)
		}
		return named, nil
	}
	candidates := []string{"relay.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(dir, "relay", "relay.yaml"))
	}
	for _, path := range candidates {
		err := checkFile(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the configuration file: %w", err)
		}
	}
	return "", nil
}

func checkFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder, not a file", path)
	}
	return nil
}
