package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata show the command line as a user sees it. Besides the commands of testscript they have:
//
//	fails CODE PROGRAM [ARGUMENT...]       run a program that must end with this exit code and print nothing to stdout
//	exits CODE PROGRAM [ARGUMENT...]       run a program that must end with this exit code, whatever it prints
//	until REGEXP PROGRAM [ARGUMENT...]     run it until it succeeds and its stdout matches
//	json PATH [VALUE]                      stdout must be one JSON value that has VALUE, or anything, at PATH, such as sinks.0.state
//	jsonlines COUNT [PATH VALUE]...        stdout must be as many lines of JSON, each with these values
//	jsonenv NAME PATH                      set an environment variable to the value at PATH in the first line of stdout
//
// Those in testdata/running have a configuration and a login, named by RELAY_CONFIG and RELAY_DATA_DIR, and also:
//
//	connected                              wait until relay is connected to the realtime server
//	emit FROM TO                           send the treats FROM to TO-1
//	refuse [TEXT]                          have the webhook's receiver refuse the events that contain TEXT from now on, or none
//	delivered COUNT                        wait until the receiver has accepted so many events
//	revoke                                 have the provider withdraw the login
//	pages [off]                            have relay serve its pages on a free port, or nowhere, from the next start or command on
//	opens                                  stdout must be the address of an overlay's page; its key must open the page and the events
//	refused                                the key in the last such address must open nothing
//	nosecrets                              no secret of this world may be in the last output

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

// Commands that need no relay, and how the command line refuses them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, Cmds: scriptCommands(),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}

// Commands next to a relay that runs, and over the data that it leaves.
func TestScriptsWithRelay(t *testing.T) {
	files, err := filepath.Glob("testdata/running/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulatedRealtime)
			w.login()
			testscript.Run(t, testscript.Params{
				Files: []string{file}, RequireExplicitExec: true, RequireUniqueNames: true, Cmds: w.scriptCommands(),
				Setup: func(env *testscript.Env) error {
					env.Setenv("HOME", env.WorkDir)
					env.Setenv("RELAY_CONFIG", w.config)
					env.Setenv("RELAY_DATA_DIR", w.data())
					env.Vars = append(env.Vars, w.env()...)
					return nil
				},
			})
		})
	}
}

func scriptCommands() map[string]scriptCommand {
	return map[string]scriptCommand{
		"fails": positive(2, scriptFails), "exits": positive(2, scriptExits), "until": positive(2, scriptUntil), "json": positive(1, scriptJSON),
		"jsonlines": positive(1, scriptJSONLines), "jsonenv": positive(2, scriptJSONEnv),
	}
}

// positive is a command that takes at least so many arguments, and no "!".
func positive(arguments int, run func(ts *testscript.TestScript, args []string) error) scriptCommand {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < arguments {
			ts.Fatalf("want at least %d arguments, and no !", arguments)
		}
		ts.Check(run(ts, args))
	}
}

func scriptFails(ts *testscript.TestScript, args []string) error {
	err := scriptExits(ts, args)
	if err == nil && ts.ReadFile("stdout") != "" {
		err = errors.New("a command that fails writes to stdout")
	}
	return err
}

func scriptExits(ts *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		ended, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			return err
		}
		code = ended.ExitCode()
	}
	if code != want {
		return fmt.Errorf("exit code %d, want %d", code, want)
	}
	return nil
}

func scriptUntil(ts *testscript.TestScript, args []string) error {
	want, err := regexp.Compile("(?m)" + args[0])
	if err != nil {
		return err
	}
	return poll(func() error {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && !want.MatchString(ts.ReadFile("stdout")) {
			err = fmt.Errorf("no %q", want)
		}
		return err
	})
}

func scriptJSON(ts *testscript.TestScript, args []string) error {
	return checkValues([]byte(ts.ReadFile("stdout")), args)
}

func scriptJSONLines(ts *testscript.TestScript, args []string) error {
	text := strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
	var lines []string
	if text != "" {
		lines = strings.Split(text, "\n")
	}
	if fmt.Sprint(len(lines)) != args[0] {
		return fmt.Errorf("%d lines, want %s", len(lines), args[0])
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			return fmt.Errorf("%q is no JSON", line)
		}
		for pairs := args[1:]; len(pairs) > 1; pairs = pairs[2:] {
			if err := checkValues([]byte(line), pairs[:2]); err != nil {
				return err
			}
		}
	}
	return nil
}

func scriptJSONEnv(ts *testscript.TestScript, args []string) error {
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	value, err := valueAt([]byte(line), args[1])
	ts.Setenv(args[0], value)
	return err
}

// checkValues wants JSON with something at a path, or with one value.
func checkValues(text []byte, pathAndValue []string) error {
	got, err := valueAt(text, pathAndValue[0])
	if err == nil && len(pathAndValue) > 1 && got != pathAndValue[1] {
		err = fmt.Errorf("%s is %s, want %s", pathAndValue[0], got, pathAndValue[1])
	}
	return err
}

// valueAt returns what stands at a path in JSON: a string as it is, anything else as JSON.
func valueAt(text []byte, path string) (string, error) {
	var at any
	if err := json.Unmarshal(text, &at); err != nil {
		return "", fmt.Errorf("%w in %q", err, text)
	}
	for key := range strings.SplitSeq(path, ".") {
		found := false
		switch in := at.(type) {
		case map[string]any:
			at, found = in[key]
		case []any:
			if i, err := strconv.Atoi(key); err == nil && i < len(in) {
				at, found = in[i], true
			}
		}
		if !found {
			return "", fmt.Errorf("no %s in %s", path, text)
		}
	}
	if s, ok := at.(string); ok {
		return s, nil
	}
	value, err := json.Marshal(at)
	return string(value), err
}

// checkOverlay checks that an address of an overlay's page can be loaded, and that its key gets this status for what the page asks.
func checkOverlay(address string, status int) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	name, key := path.Base(u.Path), u.Fragment
	if u.RawQuery != "" || key == "" {
		return fmt.Errorf("%s has a query, or no key", address)
	}
	stage := "/api/v1/overlays/" + name + "/stage?page=test"
	want := map[string]int{u.Path: http.StatusOK, "/api/v1/events": status, stage: status}
	for _, at := range []string{u.Path, "/api/v1/events", stage} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		got, err := statusWithKey(ctx, "http://"+u.Host+at, key)
		cancel()
		if err == nil && got != want[at] {
			err = fmt.Errorf("GET %s: status %d, want %d", at, got, want[at])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// statusWithKey returns the status of a GET request with a key, and leaves the body, which may not end.
func statusWithKey(ctx context.Context, address, key string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// scriptCommands are those of scripts in this world.
func (w *world) scriptCommands() map[string]scriptCommand {
	commands := scriptCommands()
	commands["connected"] = positive(0, func(*testscript.TestScript, []string) error { return poll(w.isConnected) })
	commands["emit"] = positive(2, func(_ *testscript.TestScript, args []string) error {
		from, err := strconv.Atoi(args[0])
		to, err2 := strconv.Atoi(args[1])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		w.live.emit(from, to)
		return nil
	})
	commands["refuse"] = positive(0, func(_ *testscript.TestScript, args []string) error {
		w.bot.refuses(args...)
		return nil
	})
	commands["revoke"] = positive(0, func(*testscript.TestScript, []string) error {
		w.sim.RevokeAll()
		return nil
	})
	commands["nosecrets"] = positive(0, func(ts *testscript.TestScript, _ []string) error {
		return w.findSecret(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	})
	commands["pages"] = positive(0, func(_ *testscript.TestScript, args []string) error {
		if len(args) > 0 {
			w.configure(func(s *settings) { s.HTTP.Listen = args[0] })
			return nil
		}
		w.onHTTP()
		return nil
	})
	var last string
	commands["opens"] = positive(0, func(ts *testscript.TestScript, _ []string) error {
		last = strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
		return checkOverlay(last, http.StatusOK)
	})
	commands["refused"] = positive(0, func(*testscript.TestScript, []string) error { return checkOverlay(last, http.StatusUnauthorized) })
	commands["delivered"] = positive(1, func(_ *testscript.TestScript, args []string) error {
		return poll(func() error {
			if got := len(w.bot.get()); fmt.Sprint(got) != args[0] {
				return fmt.Errorf("the receiver has %d events, want %s", got, args[0])
			}
			return nil
		})
	})
	return commands
}
