package main

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
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/socket"
)

// Config is a relay.yaml that was found to be right. docs/config.md describes every key.
type Config struct {
	Path     string
	Accounts []AccountConfig // sorted by name
	Sinks    []SinkConfig    // sorted by name
	Alerts   AlertsConfig
	Journal  JournalConfig
	NATS     NATSConfig
	HTTP     HTTPConfig
	Socket   SocketConfig
	Warnings ConfigErrors // what works but should be mended
}

// AccountConfig is one entry of accounts.
type AccountConfig struct {
	auth.Config                 // its field Account is the name
	Location    *time.Location  // of the provider's dates
	Protocol    socket.Protocol // of the realtime server
	KeepRaw     bool            // events keep the keys relay does not know
	Reconcile   time.Duration   // how often the provider's history is compared; 0: only when asked to
	// BackfillFirstRun is of the command line: deliver what the history holds at the first comparison.
	BackfillFirstRun bool
}

// SinkConfig is one entry of sinks.
type SinkConfig struct {
	Name   string
	Type   string
	Lane   delivery.LaneConfig // what is configured of it
	Config sinks.Config
}

// AlertsConfig is the section alerts: the sink that is told when another is in trouble. None if empty.
type AlertsConfig struct {
	Sink string `yaml:"sink"`
}

// JournalConfig is the section journal. An empty NATSURL keeps it in files of the data folder.
type JournalConfig struct {
	NATSURL   secret.String `yaml:"nats_url"`
	CredsFile string        `yaml:"creds_file"`
	Token     secret.String `yaml:"token"`
	TokenFile string        `yaml:"token_file"` // always empty in a [Config]: Token holds what it said
	Retention time.Duration `yaml:"retention"`
	Replicas  int           `yaml:"replicas"` // of the journal on the server; 0: 3 in a cluster of three or more, else 1
}

// NATSConfig is the section nats, about the server that relay runs itself.
type NATSConfig struct {
	Listen    string `yaml:"listen"`
	Websocket string `yaml:"websocket"` // for pages; empty: none
}

// HTTPConfig is the section http. An empty Listen means no HTTP server.
type HTTPConfig struct {
	Listen string `yaml:"listen"`
}

// LoadConfig reads and checks a configuration file. getenv looks up what ${VAR} stands for. The error is a [ConfigErrors]
// with every fault of the file.
func LoadConfig(path string, getenv func(string) (string, bool)) (*Config, error) {
	return loadConfigFile(path, getenv, false)
}

// CheckConfig is [LoadConfig] for a start: it finds fault with what the files hold that the configuration names, too, as opening the sinks would.
func CheckConfig(path string, getenv func(string) (string, bool)) (*Config, error) {
	return loadConfigFile(path, getenv, true)
}

func loadConfigFile(path string, getenv func(string) (string, bool), files bool) (*Config, error) {
	text, mode, err := readConfig(path)
	if err != nil {
		return nil, ConfigErrors{{File: path, Message: err.Error()}}
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
	path, keys := d.file, defaultConfig()
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

// filesSum is a hash of what the files hold that a sink's configuration names. One that cannot be read counts as empty: opening the sink
// tells of it.
func filesSum(c sinks.Config) string {
	hash := sha256.New()
	for key, field := range keysOf(reflect.ValueOf(c).Elem()) {
		if strings.HasSuffix(key, "_file") && field.Kind() == reflect.String && field.String() != "" {
			content, _, err := readConfig(field.String())
			if err != nil {
				content = nil
			}
			sum := sha256.Sum256(content)
			hash.Write(sum[:])
		}
	}
	return string(hash.Sum(nil))
}

// readConfig returns what a file holds. Its errors leave out the path.
func readConfig(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path) //nolint:gosec // The path is the operator's own.
	if err != nil {
		return nil, 0, bare(err)
	}
	defer f.Close() //nolint:errcheck // It was only read.
	info, err := f.Stat()
	if err != nil {
		return nil, 0, bare(err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	switch {
	case err != nil:
		return nil, 0, bare(err)
	case len(text) > maxConfigSize:
		return nil, 0, fmt.Errorf("the file is larger than %d MiB", maxConfigSize>>20)
	}
	return text, info.Mode(), nil
}

func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s the file: %w", p.Op, p.Err)
	}
	return err
}

// FindConfig returns the path of the configuration file: flag, else $RELAY_CONFIG, else relay.yaml in the working folder,
// else relay/relay.yaml in the user's configuration folder. The path is empty if there is none. It is an error if a file
// was named and is not there.
func FindConfig(flag string, getenv func(string) (string, bool)) (string, error) {
	named, from := flag, "--config"
	if named == "" {
		named, _ = getenv("RELAY_CONFIG")
		from = "RELAY_CONFIG"
	}
	if named != "" {
		if err := checkConfigFile(named); err != nil {
			return "", fmt.Errorf("find the configuration file that %s names: %w", from, err)
		}
		return named, nil
	}
	candidates := []string{"relay.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(dir, "relay", "relay.yaml"))
	}
	for _, path := range candidates {
		err := checkConfigFile(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the configuration file: %w", err)
		}
	}
	return "", nil
}

func checkConfigFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder, not a file", path)
	}
	return nil
}
