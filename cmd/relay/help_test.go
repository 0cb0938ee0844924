package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// relayCommands returns the command lines of relay in a line of shell.
func relayCommands(line string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`(?:^|\$\()(relay(?: [^|)<>#]*)?)(?:$|[|)<>#])`).FindAllStringSubmatch(line, -1) {
		found = append(found, m[1])
	}
	return found
}

// Every command says what it does, and has an example of itself that relay understands.
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
