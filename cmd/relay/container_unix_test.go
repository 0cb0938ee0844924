//go:build unix

package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
)

// A stage is a part of a Dockerfile.
type stage struct {
	base, name   string
	instructions [][2]string // the word, and the rest of the line
}

func readDockerfile(t *testing.T) (stages []stage) {
	t.Helper()
	for line := range strings.SplitSeq(doctest.Read(t, "Dockerfile"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, ok := strings.Cut(line, " ")
		if !ok || word != strings.ToUpper(word) || strings.HasSuffix(line, `\`) {
			t.Fatalf("Dockerfile: %q is no instruction on a line", line)
		}
		if word == "FROM" {
			var s stage
			for words := strings.Fields(rest); len(words) > 0; words = words[1:] {
				switch {
				case strings.HasPrefix(words[0], "--platform="):
				case words[0] == "AS":
					s.name, words = words[1], words[1:]
				default:
					s.base = words[0]
				}
			}
			stages = append(stages, s)
			continue
		}
		last := &stages[len(stages)-1]
		last.instructions = append(last.instructions, [2]string{word, rest})
	}
	return stages
}

// all returns what follows a word.
func (s stage) all(word string) (all []string) {
	for _, i := range s.instructions {
		if i[0] == word {
			all = append(all, i[1])
		}
	}
	return all
}

// The image's binary is built as the Dockerfile says, from nothing but what that copies: it is static, knows its version and runs
// alone.
func TestImageBuild(t *testing.T) {
	stages := readDockerfile(t)
	if len(stages) != 2 || stages[0].name != "build" || stages[1].base != "scratch" {
		t.Fatalf("stages: %+v", stages)
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(doctest.Read(t, "go.mod"))[1]
	if base := stages[0].base; base != "golang:"+goVersion {
		t.Errorf("built on %s, and go.mod wants Go %s", base, goVersion)
	}
	src, binary := t.TempDir(), filepath.Join(t.TempDir(), "relay")
	for _, arguments := range stages[0].all("COPY") {
		words := strings.Fields(arguments)
		for _, from := range words[:len(words)-1] {
			info, err := os.Stat(fromRoot(from))
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				err = os.CopyFS(filepath.Join(src, words[len(words)-1]), os.DirFS(fromRoot(from)))
			} else {
				err = os.WriteFile(filepath.Join(src, from), []byte(readFile(t, fromRoot(from))), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	i := slices.IndexFunc(stages[0].all("RUN"), func(run string) bool { return strings.Contains(run, "go build") })
	line := strings.Replace(stages[0].all("RUN")[i], "-o /relay ", "-o '"+binary+"' ", 1)
	build := exec.Command("sh", "-c", line)
	build.Dir = src
	build.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=v1.2.3-image")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary is not static")
	}
	if runtime.GOOS != "linux" {
		return // it does not run here
	}
	out, err := exec.Command(binary, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "relay v1.2.3-image ") {
		t.Errorf("relay version: %v\n%s", err, out)
	}
}

// The image runs relay as nobody in particular, with its data in the volume, and asks it how it is by a command it understands.
func TestImage(t *testing.T) {
	stages := readDockerfile(t)
	image := stages[len(stages)-1]
	if user := image.all("USER"); len(user) != 1 || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user[0]) {
		t.Errorf("USER %q is not a number, or root's", user)
	}
	if entry := image.all("ENTRYPOINT"); !slices.Equal(entry, []string{`["/relay"]`}) {
		t.Errorf("ENTRYPOINT %q", entry)
	}
	env := map[string]string{}
	for pair := range strings.FieldsSeq(strings.Join(image.all("ENV"), " ")) {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	checkEnvironment(t, "Dockerfile", env)
	volume := image.all("VOLUME")
	if !slices.Equal(volume, []string{env["RELAY_DATA_DIR"]}) {
		t.Errorf("VOLUME %q, and the data is in %s", volume, env["RELAY_DATA_DIR"])
	}
	var there []string
	made := strings.Join(stages[0].all("RUN"), "\n") + "\n/etc/ssl/certs/ca-certificates.crt"
	for _, arguments := range image.all("COPY") {
		words := strings.Fields(arguments)
		if words[0] != "--from="+stages[0].name {
			t.Errorf("COPY %s: not from the stage %s", arguments, stages[0].name)
		}
		from, to := words[len(words)-2], words[len(words)-1]
		if !strings.Contains(made, from) {
			t.Errorf("COPY %s: nothing makes %s", arguments, from)
		}
		if owner := "--chown=" + image.all("USER")[0]; to == env["RELAY_DATA_DIR"] && words[1] != owner {
			t.Errorf("COPY %s: want %s", arguments, owner)
		}
		there = append(there, to)
	}
	for _, path := range []string{"/relay", "/tmp", env["RELAY_DATA_DIR"], "/etc/ssl/certs/ca-certificates.crt"} {
		if !slices.Contains(there, path) {
			t.Errorf("the image has no %s", path)
		}
	}
	_, asking, _ := strings.Cut(image.all("HEALTHCHECK")[0], "CMD ")
	var command []string
	if err := json.Unmarshal([]byte(asking), &command); err != nil || command[0] != "/relay" {
		t.Fatalf("HEALTHCHECK %s: %v", asking, err)
	}
	checkRelayCommand(t, "Dockerfile, HEALTHCHECK", strings.TrimPrefix(strings.Join(command, " "), "/"))
	for _, m := range regexp.MustCompile(`docker run --rm treatrelay (.*)`).FindAllStringSubmatch(doctest.Read(t, "Dockerfile"), -1) {
		checkRelayCommand(t, "Dockerfile", "relay "+m[1])
	}
}

// composed is docker-compose.yml.
type composed struct {
	Services map[string]struct {
		Build, Image        string
		DependsOn           map[string]map[string]string `yaml:"depends_on"`
		Environment         map[string]string
		Entrypoint, Command []string
		Volumes, Secrets    []string
		Configs             []struct{ Source, Target string }
		Ports               []string
		Healthcheck         struct {
			Test              []string
			Interval, Timeout string
			StartPeriod       string `yaml:"start_period"`
			StartInterval     string `yaml:"start_interval"`
		}
		ReadOnly        bool `yaml:"read_only"`
		Tmpfs           []string
		CapDrop         []string `yaml:"cap_drop"`
		SecurityOpt     []string `yaml:"security_opt"`
		Restart         string
		StopGracePeriod string `yaml:"stop_grace_period"`
	}
	Configs map[string]struct{ Content string }
	Secrets map[string]struct{ File string }
	Volumes map[string]any
}

func readCompose(t *testing.T) composed {
	t.Helper()
	var c composed
	readYAML(t, "docker-compose.yml", &c)
	return c
}

// docker-compose.yml fits itself, relay's configuration for it, and relay.
func TestCompose(t *testing.T) {
	c := readCompose(t)
	text := doctest.Read(t, "docker-compose.yml")
	for name, s := range c.Services {
		checkEnvironment(t, "docker-compose.yml", s.Environment)
		for _, secret := range s.Secrets {
			if c.Secrets[secret].File == "" {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[from]; !ok && from != "./relay.yaml" {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		for _, config := range s.Configs {
			if c.Configs[config.Source].Content == "" {
				t.Errorf("%s: there is no configuration %s", name, config.Source)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, p)
			}
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Restart != "unless-stopped" {
			t.Errorf("%s may do more than it needs, or does not come back: %+v", name, s)
		}
		for other := range s.DependsOn {
			if len(c.Services[other].Healthcheck.Test) == 0 {
				t.Errorf("%s waits for %s, which has no health check", name, other)
			}
		}
	}
	relay := c.Services["relay"]
	for secret, file := range c.Secrets {
		if !strings.Contains(text, "> "+strings.TrimPrefix(file.File, "./")) && !strings.Contains(text, "-o "+strings.TrimPrefix(file.File, "./")) {
			t.Errorf("the first lines do not say how to make %s", file.File)
		}
		if !slices.Contains(relay.Secrets, secret) {
			t.Errorf("relay does not get the secret %s", secret)
		}
	}
	const example = "packaging/compose/relay.yaml"
	for _, m := range regexp.MustCompile(`/run/secrets/(\w+)`).FindAllStringSubmatch(doctest.Read(t, example)+relay.Environment["RELAY_IDENTITY_FILE"], -1) {
		if !slices.Contains(relay.Secrets, m[1]) {
			t.Errorf("%s: relay does not get the secret %s", example, m[1])
		}
	}
	cfg := loadExample(t, example, "/run/secrets/", func(string) (string, bool) { return "", false })
	if url := cfg.Journal.NATSURL.Reveal(); url != "nats://nats:4222" {
		t.Errorf("the journal is at %s", url)
	}
	for _, listen := range []string{cfg.NATS.Listen, cfg.HTTP.Listen} {
		_, port, _ := strings.Cut(listen, ":")
		if !strings.HasPrefix(listen, "0.0.0.0:") || !slices.Contains(relay.Ports, "127.0.0.1:"+port+":"+port) {
			t.Errorf("%s is not published by docker-compose.yml", listen)
		}
	}
	commands := regexp.MustCompile(`docker compose run --rm (relay .*?)(?:   .*)?\n`).FindAllStringSubmatch(text, -1)
	if len(commands) == 0 {
		t.Error("docker-compose.yml says nothing of the login")
	}
	for _, m := range commands {
		checkRelayCommand(t, "docker-compose.yml", m[1])
	}
}

// The NATS server of docker-compose.yml starts by its entry point, takes relay's token and no other, also one that reads as a number,
// keeps what is as large as a treat may be, and answers its health check.
func TestComposeNATS(t *testing.T) {
	c := readCompose(t)
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	health, port := fmt.Sprintf("127.0.0.1:%d", freePort(t)), freePort(t)
	here := strings.NewReplacer(
		"/run/secrets/", dir+"/", "/etc/nats/", dir+"/", "store_dir: /data", "store_dir: '"+dir+"/data'",
		"127.0.0.1:8222", health, "$$", "$")
	text := here.Replace(c.Configs["nats"].Content) + fmt.Sprintf("listen: 127.0.0.1:%d\n", port)
	const token = "12345678901234567890"
	for name, text := range map[string]string{"nats.conf": text, "nats_token": token + "\n"} {
		if err := datadir.WritePrivate(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	entry := c.Services["nats"].Entrypoint
	p := newProcess(t, entry[0], entry[1], here.Replace(entry[2]))
	p.start([]string{"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")})
	p.err.find(t, "Server is ready")

	cfg := loadExample(t, "packaging/compose/relay.yaml", "/run/secrets/", func(string) (string, bool) { return "", false })
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	if _, err := nats.Connect(url, nats.Token("another")); err == nil {
		t.Error("the server takes any token")
	}
	nc, err := nats.Connect(url, nats.Token(cfg.Journal.Token.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", bytes.Repeat([]byte("x"), 7<<20)); err != nil {
		t.Error(err)
	}
	test := c.Services["nats"].Healthcheck.Test
	resp, err := http.Get(here.Replace(test[len(test)-1]))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("health check: %s", resp.Status)
	}
	if strings.Contains(p.err.text(), token) {
		t.Error("the server's log has the token")
	}
}
