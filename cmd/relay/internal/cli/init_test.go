package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	relaydocs "github.com/treatrelay/relay/docs"

	"github.com/goccy/go-yaml"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
	"github.com/treatrelay/relay/sinks"
)

// setVariables returns a valid value for every environment variable.
func setVariables(name string) (string, bool) { return starter.ExampleValue(name), true }

// initFlagsFor returns the command line of relay init for a provider and types of sinks.
func initFlagsFor(p provider.Provider, types ...string) []string {
	args := []string{"init", "--provider", p.Name}
	if p.Grant != provider.PersonalToken {
		args = append(args, "--client-id", "4711")
	}
	if p.Grant == provider.ClientCredentials {
		args = append(args, "--base-url", "https://api.example.com")
	}
	for _, typ := range types {
		args = append(args, "--sink", typ)
		if typ == "webhook" {
			args = append(args, "--webhook-url", "https://bot.example/treats")
		}
	}
	return args
}

// relay init writes a valid configuration. It is still valid with its commented-out lines.
func TestInitWritesAConfiguration(t *testing.T) {
	schema := doctest.Schema(t)
	for _, p := range provider.All() {
		for _, types := range append([][]string{nil, sinks.Types()}, slices.Collect(slices.Chunk(sinks.Types(), 1))...) {
			if types == nil && p.Endpoints.Socket != "" {
				continue
			}
			t.Chdir(t.TempDir())
			args := initFlagsFor(p, types...)
			code, stdout, stderr := runCommand(t, nil, "", args...)
			if code != exit.OK || stdout != "" {
				t.Fatalf("%v ends with %d: %s%s", args, code, stdout, stderr)
			}
			text, err := os.ReadFile("relay.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# yaml-language-server: $schema="+relaydocs.ConfigSchemaURL+"\n") {
				t.Errorf("%v: the schema is not in the first line:\n%s", args, text)
			}
			if info, err := os.Stat("relay.yaml"); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%v: the file has mode %v (%v)", args, info.Mode(), err)
			}
			for _, form := range []string{string(text), regexp.MustCompile(`(?m)^( *)# ( *[a-z_]+:(?: [^ ]+)?)$`).ReplaceAllString(string(text), "$1$2")} {
				if err := os.WriteFile("relay.yaml", []byte(form), 0o600); err != nil {
					t.Fatal(err)
				}
				cfg, err := config.Load("relay.yaml", setVariables)
				if err != nil || len(cfg.Warnings) > 0 {
					t.Fatalf("%v: %v in\n%s", args, err, form)
				}
				if len(cfg.Accounts) != 1 || cfg.Accounts[0].Provider.Name != p.Name || len(cfg.Sinks) != len(types) {
					t.Errorf("%v: the file has the accounts %v and the sinks %v:\n%s", args, cfg.Accounts, cfg.Sinks, form)
				}
				if err := doctest.Fits(t, schema, form); err != nil {
					t.Errorf("%v: %v in\n%s", args, err, form)
				}
			}
		}
	}
}

// docs/quickstart.md shows what relay init writes.
func TestDocumentedInit(t *testing.T) {
	readme := doctest.Read(t, "docs/quickstart.md")
	t.Chdir(t.TempDir())
	const command = "relay init --client-id YOUR-CLIENT-ID --sink stdout --sink nats"
	_, rest, found := strings.Cut(readme, command)
	if !found {
		t.Fatalf("docs/quickstart.md does not have %s", command)
	}
	if code, _, stderr := runCommand(t, nil, "", doctest.Words(command)[1:]...); code != exit.OK {
		t.Fatal(stderr)
	}
	written, err := os.ReadFile("relay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var shown, actual any
	if err := yaml.Unmarshal([]byte(doctest.Fenced(rest, "yaml")[0]), &shown); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(written, &actual); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(shown, actual); diff != "" {
		t.Errorf("docs/quickstart.md shows another file than relay init writes (-docs +init):\n%s", diff)
	}
}

// Answers are written to the file unchanged, or rejected.
func TestInitKeepsAnswers(t *testing.T) {
	for _, id := range []string{"007", "null", "a'b", `a"b`, "a: b", "a #b", "[a", "{a", "*a", "&a", "- a", "%a", "é 🍕", "|", ">", "a,b", "~"} {
		t.Chdir(t.TempDir())
		code, _, stderr := runCommand(t, nil, "", "init", "--client-id", id, "--sink", "stdout")
		if code != exit.OK {
			t.Errorf("--client-id %q: %d: %s", id, code, stderr)
			continue
		}
		cfg, err := config.Load("relay.yaml", setVariables)
		if err != nil || cfg.Accounts[0].ClientID != id {
			t.Errorf("--client-id %q is read as %v, %v", id, cfg, err)
		}
	}
	for _, id := range []string{"", "a\nb", "a\tb", "a\x1b", "${", "\xff"} {
		t.Chdir(t.TempDir())
		code, _, stderr := runCommand(t, nil, "", "init", "--client-id", id, "--sink", "stdout")
		if _, err := os.Stat("relay.yaml"); code != exit.Usage || err == nil {
			t.Errorf("--client-id %q: %d: %s", id, code, stderr)
		}
	}
}

func TestInitRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		args string
		want string
	}{
		{"", `no terminal to ask on: give it --client-id \(.*\) and --sink \(.*\)$`},
		{"--sink webhook", `give it --client-id \(.*\) and --webhook-url \(.*\)$`},
		{"--provider client-credentials", `give it --client-id \(.*\) and --base-url \(.*\)$`},
		{"--provider treatstram --client-id x --sink stdout", `--provider: there is no provider "treatstram"; did you mean "treatstream"\?$`},
		{"--client-id x --sink stdot --account A", `(?s)--account: a name has.*--sink: there is no sink type "stdot"; did you mean "stdout"\?$`},
		{"--client-id x --sink webhook --webhook-url ftp://h/hunter2", `--webhook-url: is not an http or https URL`},
		{"--client-id x --sink stdout --webhook-url https://h/hunter2", `--webhook-url has no effect with the other flags`},
		{"--client-id x --sink discord --discord-url-file nope", `--discord-url-file: stat nope: no such file`},
		{"--client-id x --sink webhook --webhook-url-file nope", `sinks.bot.url_file: stat nope: no such file`},
		{"--client-id x --sink stdout --client-secret-file nope", `accounts.mystream.client_secret_file: stat nope: no such file`},
		{"--provider treesnap --client-id x", `--client-id has no effect with the other flags`},
		{"--client-id x --sink stdout --base-url https://h", `accounts.mystream.base_url: TreatStream takes none`},
	} {
		code, stdout, stderr := runCommand(t, nil, "", append([]string{"init"}, strings.Fields(test.args)...)...)
		if code != exit.Usage || stdout != "" || !regexp.MustCompile(test.want).MatchString(strings.TrimSpace(stderr)) || strings.Contains(stderr, "hunter2") {
			t.Errorf("init %s ends with %d and says\n%swant %s", test.args, code, stderr, test.want)
		}
		if _, err := os.Stat("relay.yaml"); err == nil {
			t.Fatalf("init %s wrote a file", test.args)
		}
	}
}

func TestInitNeverReplaces(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("relay.yaml", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"init", "--client-id", "x", "--sink", "stdout"}
	code, _, stderr := runCommand(t, nil, "", args...)
	if text, err := os.ReadFile("relay.yaml"); code != exit.Usage || string(text) != "mine" || !strings.Contains(stderr, "relay.yaml exists already: replace it with --force") {
		t.Errorf("it ends with %d, %s and leaves %q, %v", code, stderr, text, err)
	}
	if err := starter.WriteNew("relay.yaml", []byte("other")); !errors.Is(err, os.ErrExist) {
		t.Errorf("WriteNew over a file = %v", err)
	}
	if code, _, stderr = runCommand(t, nil, "", append(args, "--force")...); code != exit.OK {
		t.Fatal(stderr)
	}
	if info, err := os.Stat("relay.yaml"); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the replaced file has mode %v (%v)", info.Mode(), err)
	}
	if _, err := config.Load("relay.yaml", setVariables); err != nil {
		t.Error(err)
	}
}

// It prints the commands to run next, with the flags they need.
func TestInitPrintsNextSteps(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("my etc", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := datadir.WritePrivate("client", []byte("hunter2\n")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runCommand(t, map[string]string{"DISCORD_URL": "set"}, "", append(initFlagsFor(provider.All()[0], "webhook", "discord"),
		"--account", "a", "--output", filepath.Join("my etc", "r.yaml"), "--data-dir", "data")...)
	for _, want := range []string{
		"\n  export TREATSTREAM_SECRET=... ", "\n  export WEBHOOK_SECRET=... ",
		"\n  relay config check --config 'my etc/r.yaml' --data-dir data\n", "\n  relay auth login a --config 'my etc/r.yaml' --data-dir data\n",
		"\n  relay --config 'my etc/r.yaml' --data-dir data\n",
	} {
		if code != exit.OK || !strings.Contains(stderr, want) || strings.Contains(stderr, "DISCORD_URL") {
			t.Errorf("init ends with %d and says\n%swant %q", code, stderr, want)
		}
	}
	// Relative paths on the command line are valid from the folder of the configuration.
	code, _, stderr = runCommand(t, nil, "", "init", "--client-id", "x", "--sink", "stdout", "--client-secret-file", "client", "--config", filepath.Join("my etc", "s.yaml"))
	if code != exit.OK || strings.Contains(stderr, "export") {
		t.Fatalf("init ends with %d: %s", code, stderr)
	}
	cfg, err := config.Load(filepath.Join("my etc", "s.yaml"), os.LookupEnv)
	if err != nil || cfg.Accounts[0].ClientSecret.Reveal() != "hunter2" {
		t.Errorf("the configuration is %v, %v", cfg, err)
	}
	for name, command := range map[string]string{"treesnap": "relay auth import treesnap", "camstreamer": "relay auth login camstreamer", "client-credentials": "relay auth token client-credentials"} {
		t.Chdir(t.TempDir())
		p, _ := provider.Lookup(name)
		if code, _, stderr := runCommand(t, nil, "", initFlagsFor(p)...); code != exit.OK || !strings.Contains(stderr, "\n  relay config check\n  "+command+"\n  relay\n") {
			t.Errorf("init for %s ends with %d and says\n%s", name, code, stderr)
		}
	}
}

// dialogue runs relay init with answers from in, as on a terminal.
func dialogue(ctx context.Context, in io.Reader, flags ...string) (said string, err error) {
	var out bytes.Buffer
	s := &state.State{Streams: state.Streams{In: in, Out: io.Discard, Err: &out, Getenv: func(string) (string, bool) { return "", false }}}
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	o := initOptions{State: s, given: set.Changed, interactive: true}
	o.register(set)
	if err := set.Parse(flags); err != nil {
		return "", err
	}
	err = o.run(ctx)
	return out.String(), err
}

func TestInitAsks(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := datadir.WritePrivate("chat", []byte("https://discord.com/api/webhooks/1/x\n")); err != nil {
		t.Fatal(err)
	}
	said, err := dialogue(t.Context(), strings.NewReader("treatstram\n\nMy Stream\nmine\n\n4711\n\nstdot\nstdout, webhook discord\nftp://h\nhttps://bot.example/treats\nnope\nchat\nmore\n"))
	if err != nil {
		t.Fatalf("%v after\n%s", err, said)
	}
	for _, want := range []string{
		"camstreamer, client-credentials [treatstream]: ", `did you mean "treatstream"?`, "account [mystream]: ", "a name has 1 to 63", "client-id: is empty",
		"name at least one", `did you mean "stdout"?`, "webhook-url: is not an http or https URL", "stat nope: no such file",
	} {
		_, rest, found := strings.Cut(said, want)
		if !found {
			t.Fatalf("it does not say %q, or not then; left is\n%s", want, said)
		}
		said = rest
	}
	cfg, err := config.Load("relay.yaml", setVariables)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range cfg.Sinks {
		names = append(names, s.Name)
	}
	if a := cfg.Accounts[0]; a.Account != "mine" || a.ClientID != "4711" || !slices.Equal(names, []string{"bot", "chat", "console"}) {
		t.Errorf("the configuration has the account %s with %s, and the sinks %v", a.Account, a.ClientID, names)
	}
}

// A question that a flag answers is not asked.
func TestInitAsksForTheRest(t *testing.T) {
	t.Chdir(t.TempDir())
	said, err := dialogue(t.Context(), strings.NewReader("nats\n"), "--provider", "treatstream", "--account", "mine", "--client-id", "x")
	if err != nil || strings.Count(said, "]: ") != 0 || !strings.Contains(said, "Wrote relay.yaml") {
		t.Errorf("%v after\n%s", err, said)
	}
}

func TestInitInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := dialogue(t.Context(), strings.NewReader("treatstream\nmine\n"))
	if exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "the input ended") {
		t.Errorf("at the end of the input: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	typed, keyboard, err := os.Pipe() // its read can be ended
	if err != nil {
		t.Fatal(err)
	}
	defer typed.Close()
	defer keyboard.Close()
	cancel(exit.ErrSignal)
	if _, err := dialogue(ctx, typed); !errors.Is(err, exit.ErrSignal) {
		t.Errorf("after a signal: %v", err)
	}
	if _, err := os.Stat("relay.yaml"); err == nil {
		t.Error("a file was written")
	}
}

// runCommand runs a command line and returns its exit code and what it wrote.
func runCommand(t *testing.T, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Execute(t.Context(), args, state.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs, Getenv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return code, out.String(), errs.String()
}
