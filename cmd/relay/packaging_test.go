package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// fromRoot is the path of a file given relative to the repository's root.
func fromRoot(path string) string { return filepath.Join("..", "..", filepath.FromSlash(path)) }

// readYAML decodes a file strictly: the value must have all of its keys.
func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.NewDecoder(strings.NewReader(doctest.Read(t, path)), yaml.Strict()).Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// checkEnvironment checks that relay knows each variable RELAY_* and accepts its value.
func checkEnvironment(t *testing.T, from string, env map[string]string) {
	t.Helper()
	known := map[string]bool{"RELAY_CONFIG": true, "RELAY_IDENTITY_FILE": true}
	run, err := parseCommand("relay run")
	if err != nil {
		t.Fatal(err)
	}
	run.Flags().VisitAll(func(f *pflag.Flag) {
		known["RELAY_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))] = true
	})
	for name := range env {
		if strings.HasPrefix(name, "RELAY_") && !known[name] {
			t.Errorf("%s: relay knows no %s", from, name)
		}
	}
	root := cli.Command(state.Streams{Err: io.Discard, Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err := root.PersistentPreRunE(root, nil); err != nil {
		t.Errorf("%s: %v", from, err)
	}
}

// checkRelayCommand checks that relay accepts a command line.
func checkRelayCommand(t *testing.T, from, line string) {
	t.Helper()
	if _, err := parseCommand(line); err != nil {
		t.Errorf("%s: %s: %v", from, line, err)
	}
}

// loadExample loads a configuration, with the files it names below secrets in a temporary folder.
func loadExample(t *testing.T, path, secrets string, getenv func(string) (string, bool)) *config.Config {
	t.Helper()
	dir := t.TempDir()
	text := doctest.Read(t, path)
	if secrets != "" {
		for _, name := range regexp.MustCompile(regexp.QuoteMeta(secrets)+`(\w+)`).FindAllStringSubmatch(text, -1) {
			if err := datadir.WritePrivate(filepath.Join(dir, name[1]), []byte("12345678901234567890\n")); err != nil {
				t.Fatal(err)
			}
		}
		text = strings.ReplaceAll(text, secrets, filepath.ToSlash(dir)+"/")
	}
	file := filepath.Join(dir, "relay.yaml")
	if err := datadir.WritePrivate(file, []byte(text)); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, getenv)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("%s: %v", path, cfg.Warnings)
	}
	return cfg
}

// A unit is a systemd unit file: the values of each key of each section, in order.
type unit map[string][]string

func readUnit(t *testing.T, path string) unit {
	t.Helper()
	u, section := unit{}, ""
	for i, line := range strings.Split(doctest.Read(t, path), "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		case ok && section != "" && key == strings.TrimSpace(key):
			u[section+"."+key] = append(u[section+"."+key], value)
		default:
			t.Errorf("%s:%d: %q is no setting", path, i+1, line)
		}
	}
	return u
}

// environment reads an EnvironmentFile of systemd, as far as relay's uses the format.
func environment(t *testing.T, path string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for line := range strings.SplitSeq(doctest.Read(t, path), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(name) || strings.ContainsAny(value, `"'\$ `) {
			t.Errorf("%s: %q is not NAME=value", path, line)
		}
		env[name] = value
	}
	return env
}

// The unit runs a valid relay command in a valid environment, with the folders and the configuration that
// the package installs.
func TestServiceUnit(t *testing.T) {
	const dir = "packaging/systemd/"
	u := readUnit(t, dir+"relay.service")
	for key, want := range map[string]string{
		"Service.Type": "notify", "Service.NotifyAccess": "main", "Service.WatchdogSec": "2min",
		"Service.EnvironmentFile": "/etc/relay/relay.env", "Service.StateDirectory": "relay", "Service.StateDirectoryMode": "0700",
		"Service.User": "relay", "Install.WantedBy": "multi-user.target",
		"Service.RestartPreventExitStatus": fmt.Sprint(exit.Usage, exit.Unauthorized, exit.Config),
	} {
		if got := u[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	start := u["Service.ExecStart"]
	if len(start) != 1 || !strings.HasPrefix(start[0], "/usr/bin/relay ") {
		t.Fatalf("ExecStart is %q", start)
	}
	checkRelayCommand(t, "relay.service", strings.TrimPrefix(start[0], "/usr/bin/"))

	env := environment(t, dir+"relay.env")
	checkEnvironment(t, "relay.env", env)
	want := map[string]string{
		"RELAY_CONFIG": "/etc/relay/relay.yaml", "RELAY_DATA_DIR": "/var/lib/relay", "RELAY_IDENTITY_FILE": "/etc/relay/identity.txt",
		"TREATSTREAM_SECRET": "",
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("relay.env (-want +got):\n%s", diff)
	}
	loadExample(t, dir+"relay.yaml", "", func(name string) (string, bool) {
		_, ok := env[name]
		return "a secret", ok
	})
	modes := doctest.Read(t, dir+"relay.tmpfiles")
	for _, path := range []string{env["RELAY_CONFIG"], env["RELAY_IDENTITY_FILE"], env["RELAY_DATA_DIR"], u["Service.EnvironmentFile"][0]} {
		if !regexp.MustCompile(`(?m)^[dz] ` + regexp.QuoteMeta(path) + ` +0[67][04]0 `).MatchString(modes) {
			t.Errorf("relay.tmpfiles gives %s no mode", path)
		}
	}
	if users := doctest.Read(t, dir+"relay.sysusers"); !strings.Contains(users, "\nu "+u["Service.User"][0]+" ") {
		t.Errorf("relay.sysusers makes no user %s", u["Service.User"][0])
	}
}

// release is .goreleaser.yaml.
type release struct {
	Version int
	Project string                   `yaml:"project_name"`
	Before  struct{ Hooks []string } `yaml:"before"`
	Builds  []struct {
		Main, Binary       string
		Env, Flags         []string
		Ldflags            []string
		ModTimestamp       string `yaml:"mod_timestamp"`
		Goos, Goarch       []string
		Goamd64            []string
		Ignore             []map[string]string
		Targets, Overrides []string
	}
	Archives []struct {
		Formats   []string
		Wrap      bool `yaml:"wrap_in_directory"`
		Overrides []struct {
			Goos    string
			Formats []string
		} `yaml:"format_overrides"`
		Files []any
	}
	Packages []struct {
		Formats, Recommends           []string
		Maintainer, Homepage, License string
		Description, Section          string
		Umask                         int
		Contents                      []struct {
			Src, Dst, Type, Packager string
			FileInfo                 struct{ Mode int } `yaml:"file_info"`
		}
		Scripts map[string]string
	} `yaml:"nfpms"`
	Checksum struct {
		Name      string `yaml:"name_template"`
		Algorithm string
	}
	Sboms     []struct{ Artifacts string }
	Changelog struct{ Use, Sort string }
	Release   struct{ Github map[string]string }
}

// A release is built for the platforms that CI compiles for, and every file of its packages exists or is generated.
func TestRelease(t *testing.T) {
	var r release
	readYAML(t, ".goreleaser.yaml", &r)

	var targets []string
	for _, system := range r.Builds[0].Goos {
		for _, arch := range r.Builds[0].Goarch {
			targets = append(targets, system+"/"+arch)
		}
	}
	compiled := regexp.MustCompile(`for target in (.*); do\n\tCGO_ENABLED=0 `).FindStringSubmatch(doctest.Read(t, ".ci/run"))
	if compiled == nil {
		t.Fatal(".ci/run has no loop over targets")
	}
	if diff := cmp.Diff(targets, strings.Fields(compiled[1])); diff != "" {
		t.Errorf("targets (-.goreleaser.yaml +.ci/run):\n%s", diff)
	}
	if !slices.Equal(r.Builds[0].Env, []string{"CGO_ENABLED=0"}) || r.Builds[0].Main != "./cmd/relay" {
		t.Errorf("build: %+v", r.Builds[0])
	}

	const generated = "packaging/generated"
	_, hook, ok := strings.Cut(r.Before.Hooks[0], "./cmd/relay ")
	if !ok || hook != "generate "+generated || !strings.Contains(r.Before.Hooks[0], " go run -tags packaging ") {
		t.Errorf("hook %q", r.Before.Hooks[0])
	}
	made := t.TempDir()
	generatePackaging(t, made)
	exists := func(pattern string) {
		t.Helper()
		path := fromRoot(pattern)
		if rest, ok := strings.CutPrefix(pattern, generated); ok {
			path = filepath.Join(made, filepath.FromSlash(rest))
		}
		if all, err := filepath.Glob(path); err != nil || len(all) == 0 {
			t.Errorf(".goreleaser.yaml: %s: nothing there (%v)", pattern, err)
		}
	}
	for _, f := range r.Archives[0].Files {
		switch f := f.(type) {
		case string:
			exists(f)
		case map[string]any:
			exists(fmt.Sprint(f["src"]))
		}
	}
	installed := map[string]bool{"/usr/bin/relay": true} // the binary goes there by default
	for _, p := range r.Packages {
		for _, c := range p.Contents {
			exists(c.Src)
			installed[c.Dst] = true
			if strings.HasPrefix(c.Dst, "/etc/") && (c.Type != "config|noreplace" || c.FileInfo.Mode != 0o640) {
				t.Errorf("%s: %+v: an update would overwrite it, or others read it", c.Dst, c)
			}
		}
		for _, script := range p.Scripts {
			exists(script)
		}
	}
	for _, path := range []string{
		"/usr/bin/relay", "/etc/relay/relay.env", "/etc/relay/relay.yaml", "/usr/lib/systemd/system/relay.service",
		"/usr/lib/sysusers.d/relay.conf", "/usr/lib/tmpfiles.d/relay.conf",
	} {
		if !installed[path] {
			t.Errorf("the packages have no %s", path)
		}
	}
}

// Relay accepts the commands for the service in the documentation.
func TestDocumentedServiceCommands(t *testing.T) {
	seen := 0
	for name, text := range doctest.All(t) {
		for _, block := range doctest.Fenced(text, "sh") {
			for _, m := range regexp.MustCompile(`(?m)(?:relay\.env |docker compose (?:run --rm|exec) |--name \S+ )(relay .*)$`).FindAllStringSubmatch(block, -1) {
				seen++
				checkRelayCommand(t, name, m[1])
			}
		}
	}
	if seen < 3 {
		t.Errorf("only %d commands were found: the search is broken", seen)
	}
}

// A POSIX shell can parse the scripts of the packages.
func TestPackageScripts(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil && os.PathSeparator == '\\' {
		return // Windows has none, and no such packages
	}
	scripts, err := filepath.Glob(fromRoot("packaging/scripts/*.sh"))
	if err != nil || len(scripts) < 3 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, script := range scripts {
		if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, bytes.TrimSpace(out))
		}
	}
}
