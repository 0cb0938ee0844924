package api

import (
	"strings"

	"github.com/treatrelay/relay/auth/advice"
)

// Hint says what a person can do about a problem. The zero value says nothing.
type Hint struct {
	Fix        string   `json:"fix,omitempty" jsonschema_description:"what to do; a relay command in it has no global flags such as --data-dir"`
	FixCommand []string `json:"fix_command,omitempty" jsonschema_description:"the relay command in fix: its arguments, without relay itself and without global flags"`
}

// program is the first word of relay's own commands.
const program = "relay"

// HintOf returns advice in the form of the API.
func HintOf(fix advice.Fix) Hint {
	h := Hint{Fix: fix.String()}
	if words := strings.Fields(fix.Command); len(words) > 1 && words[0] == program {
		h.FixCommand = words[1:]
	}
	return h
}

// Advice implements [advice.Adviser] for the errors that embed a Hint.
func (h Hint) Advice() advice.Fix {
	if len(h.FixCommand) == 0 {
		return advice.Do(h.Fix)
	}
	command := program + " " + strings.Join(h.FixCommand, " ")
	before, after, found := strings.Cut(h.Fix, command)
	if !found { // another relay wrote it
		return advice.Do(h.Fix)
	}
	return advice.Fix{Before: before, Command: command, After: after}
}

// FixWith returns Fix with global flags added to its command. The flags begin with a blank, or are empty.
func (h Hint) FixWith(flags string) string { return h.Advice().With(flags) }
