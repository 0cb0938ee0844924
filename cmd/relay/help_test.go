package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// relayCommands returns the relay command lines in a line of shell.
func relayCommands(line string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`(?:^|\$\()(relay(?: [^|)<>#]*)?)(?:$|[|)<>#])`).FindAllStringSubmatch(line, -1) {
		found = append(found, m[1])
	}
	return found
}

// Every command has a short description, help for its flags, and an example of itself that relay accepts.
func TestCommandsHaveHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: what it does in short is %q; want words without a full stop", path, cmd.Short)
		}
		if strings.HasPrefix(path, "relay completion") || path == "relay help" {
			return // cobra's own
		}
		itself := false
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			for _, command := range relayCommands(strings.TrimSpace(line)) {
				shown, err := parseCommand(command)
				if err != nil {
					t.Errorf("%s: the example %s: %v", path, command, err)
				}
				itself = itself || err == nil && shown.CommandPath() == path
			}
		}
		if !itself && (cmd.Example != "" || !cmd.HasSubCommands()) {
			t.Errorf("%s has no example of itself:\n%s", path, cmd.Example)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: the flag --%s has no help", path, f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(commandTree())
}

// Every command prints its help to stdout, and refuses a flag that it does not have with exit code 64 and the command that shows its help.
func TestCommandLineOfEveryCommand(t *testing.T) {
	t.Chdir(t.TempDir()) // where no configuration is found
	env := map[string]string{"HOME": t.TempDir()}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		args := strings.Fields(cmd.CommandPath())[1:]
		code, stdout, stderr := runMain(t, env, "", append(args, "--help")...)
		if code != exit.OK || !strings.Contains(stdout, "\nUsage:\n") || stderr != "" {
			t.Errorf("%s --help: exit code %d, stdout %q, stderr %q", cmd.CommandPath(), code, stdout, stderr)
		}
		code, stdout, stderr = runMain(t, env, "", append(args, "--no-such-flag")...)
		if want := "relay: unknown flag: --no-such-flag; see " + cmd.CommandPath() + " --help\n"; code != exit.Usage || stdout != "" || stderr != want {
			t.Errorf("%s --no-such-flag: exit code %d, want %d; stdout %q, stderr %q, want %q", cmd.CommandPath(), code, exit.Usage, stdout, stderr, want)
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	walk(commandTree())
}
