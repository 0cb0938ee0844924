package main

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/session"
)

func commandTree() *cobra.Command {
	root := cli.Command(state.Streams{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// parseCommand reads a command line as relay would, without running it, and returns the command.
func parseCommand(line string) (*cobra.Command, error) {
	cmd, rest, err := commandTree().Find(doctest.Words(line)[1:])
	if err != nil {
		return nil, err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return nil, err
	}
	return cmd, cmd.ValidateArgs(cmd.Flags().Args())
}

// Relay accepts every command line of relay in the documentation.
func TestDocumentedCommandLines(t *testing.T) {
	seen := 0
	for name, text := range doctest.All(t) {
		var found []string
		for _, block := range doctest.Fenced(text, "sh") {
			for line := range strings.SplitSeq(block, "\n") {
				found = append(found, strings.Replace(strings.TrimSpace(line), "go run ./cmd/relay", "relay", 1))
			}
		}
		inBlocks := len(found)
		found = append(found, doctest.Code(regexp.MustCompile("(?sm)^ *```.*?^ *```$").ReplaceAllString(text, ""))...)
		for i, line := range found {
			for _, command := range relayCommands(line) {
				seen++
				cmd, err := parseCommand(command)
				if err != nil && (cmd == nil || cmd.HasSubCommands() || i < inBlocks) { // prose may leave arguments out
					t.Errorf("%s: %s: %v", name, command, err)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d command lines were found: the search is broken", seen)
	}
}

// The table of commands lists exactly the commands.
func TestDocumentedCommands(t *testing.T) {
	documented := map[string]bool{}
	for _, row := range doctest.Rows(t, doctest.Read(t, "docs/commands.md"), "## Commands") {
		for _, line := range doctest.Code(row[0]) {
			cmd, err := parseCommand(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			documented[strings.Replace(cmd.CommandPath(), " completion bash", " completion", 1)] = true
		}
	}
	actual := map[string]bool{"relay": true}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			switch {
			case sub.Name() == "help" || sub.Hidden:
			case sub.HasSubCommands() && sub.Name() != "completion":
				walk(sub)
			default:
				actual[sub.CommandPath()] = true
			}
		}
	}
	walk(commandTree())
	if diff := cmp.Diff(actual, documented); diff != "" {
		t.Errorf("docs/commands.md (-relay +docs):\n%s", diff)
	}
}

func TestDocumentedExitCodes(t *testing.T) {
	var documented []string
	for _, row := range doctest.Rows(t, doctest.Read(t, "docs/commands.md"), "`--help` after a command") {
		documented = append(documented, row[0])
	}
	if want := []string{"0", "1", "64", "69", "77", "78"}; !slices.Equal(documented, want) {
		t.Errorf("docs/commands.md documents the exit codes %v, want %v", documented, want)
	}
	for want, got := range map[int]int{0: exit.OK, 1: exit.Failure, 64: exit.Usage, 69: exit.Unavailable, 77: exit.Unauthorized, 78: exit.Config} {
		if got != want {
			t.Errorf("exit code %d is %d now", want, got)
		}
	}
}

// No link within the documentation is broken.
func TestDocumentedLinks(t *testing.T) {
	for name, text := range doctest.All(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: the link to %s: %v", name, m[1], err)
			}
		}
	}
}

// Relay accepts every configuration in the documentation.
func TestDocumentedConfigurations(t *testing.T) {
	seen := 0
	for name, text := range doctest.All(t) {
		for _, block := range doctest.Fenced(text, "yaml") {
			seen++
			path := filepath.Join(t.TempDir(), "relay.yaml")
			if err := datadir.WritePrivate(path, []byte(block)); err != nil {
				t.Fatal(err)
			}
			documentedFiles(t, filepath.Dir(path), block)
			cfg, err := config.Load(path, documentedVariable)
			if err != nil {
				t.Errorf("%s: %v in\n%s", name, err, block)
			} else if len(cfg.Warnings) > 0 {
				t.Errorf("%s: %v in\n%s", name, cfg.Warnings, block)
			}
		}
	}
	if seen < 7 {
		t.Errorf("only %d configurations were found: the search is broken", seen)
	}
}

// The example event has the keys of an event, and survives decoding and encoding.
func TestDocumentedEvent(t *testing.T) {
	block := markedBlock(t, "docs/event.md", "event")
	e := events(t, []string{block})[0]
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal([]byte(block), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("docs/event.md (-relay +docs):\n%s", diff)
	}
}

// recorder is a registry that records the collectors.
type recorder struct {
	*prometheus.Registry
	all []prometheus.Collector
}

func (r *recorder) MustRegister(all ...prometheus.Collector) {
	r.all = append(r.all, all...)
	r.Registry.MustRegister(all...)
}

// docs/metrics.md lists exactly the metrics, with their types and labels.
func TestDocumentedMetrics(t *testing.T) {
	reg := &recorder{Registry: prometheus.NewRegistry()}
	pipeline.NewMetrics(reg)
	auth.NewMetrics(reg)
	daemon.NewSourceMetrics(reg)
	reg.MustRegister(daemon.NewPageMetrics(func() daemon.PageNumbers {
		return daemon.PageNumbers{Overlays: map[string]overlay.Stats{"main": {}}, Sessions: map[session.Role]int{session.Owner: 1}}
	}))
	for _, c := range reg.all {
		switch m := c.(type) { // a vector shows only with a child
		case *prometheus.CounterVec:
			m.WithLabelValues(labels(m)...)
		case *prometheus.GaugeVec:
			m.WithLabelValues(labels(m)...)
		case *prometheus.HistogramVec:
			m.WithLabelValues(labels(m)...)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	actual := map[string]string{}
	for _, f := range families {
		var names []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		actual[f.GetName()] = strings.ToLower(f.GetType().String()) + " by " + strings.Join(names, ", ")
	}
	documented := map[string]string{}
	text := doctest.Read(t, filepath.Join("docs", "metrics.md"))
	for _, section := range []string{"## Accounts", "## Logins", "## The journal", "## Sinks", "## Overlays and the HTTP server"} {
		for _, row := range doctest.Rows(t, text, section) {
			names := doctest.Code(row[2])
			slices.Sort(names)
			documented[doctest.Code(row[0])[0]] = row[1] + " by " + strings.Join(names, ", ")
		}
	}
	if diff := cmp.Diff(actual, documented); diff != "" {
		t.Errorf("docs/metrics.md (-relay +docs):\n%s", diff)
	}
	for _, name := range slices.Sorted(maps.Keys(actual)) {
		if !strings.HasPrefix(name, "relay_") {
			t.Errorf("metric %s does not begin with relay_", name)
		}
	}
}

// labels returns the names of a vector's labels.
func labels(c prometheus.Collector) []string {
	descriptions := make(chan *prometheus.Desc, 1)
	c.Describe(descriptions)
	_, list, _ := strings.Cut((<-descriptions).String(), "variableLabels: {")
	list, _, _ = strings.Cut(list, "}")
	return strings.Split(list, ",")
}

// docs/dependencies.md lists exactly the modules that our code imports.
func TestDocumentedDependencies(t *testing.T) {
	list := func(args ...string) []string {
		t.Helper()
		cmd := exec.Command("go", append([]string{"list"}, args...)...)
		cmd.Dir = filepath.Join("..", "..")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all := slices.Sorted(strings.FieldsSeq(string(out)))
		return slices.Compact(all)
	}
	const imports = `{{join .Imports "\n"}}{{"\n"}}{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}`
	var foreign []string
	for _, path := range list("-f", imports, "./...") {
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !strings.HasPrefix(path, "github.com/treatrelay/") {
			foreign = append(foreign, path)
		}
	}
	actual := map[string]bool{}
	for _, path := range list(append([]string{"-f", "{{with .Module}}{{.Path}}{{end}}"}, foreign...)...) {
		actual[path] = true
	}
	documented := map[string]bool{}
	text := doctest.Read(t, filepath.Join("docs", "dependencies.md"))
	for _, section := range []string{"## In the program", "## In the tests"} {
		for _, row := range doctest.Rows(t, text, section) {
			documented[doctest.Code(row[0])[0]] = true
		}
	}
	if diff := cmp.Diff(actual, documented); diff != "" {
		t.Errorf("docs/dependencies.md (-imported +documented):\n%s", diff)
	}
}

// Every test that docs/guarantees.md names exists.
func TestDocumentedGuarantees(t *testing.T) {
	have := map[string]bool{}
	var paths []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			have[m[1]] = true
		}
	}
	promised := 0
	for _, name := range doctest.Code(doctest.Read(t, "docs/guarantees.md")) {
		if strings.HasPrefix(name, "Test") {
			promised++
			if !have[name] {
				t.Errorf("docs/guarantees.md names %s, and there is no such test", name)
			}
		}
	}
	if promised < 30 {
		t.Errorf("%d tests are named", promised)
	}
}
