// Package advice represents the fix for an error as data, so that nobody has to parse the text of the error.
package advice

import (
	"errors"
	"strings"
)

// A Fix says what a person can do. It keeps the command apart from the words around it, so that a program can add the
// flags it was started with, or show the command alone.
type Fix struct {
	Before  string // text before the command; all of the text if there is no command
	Command string // such as "relay auth login mystream"; may be empty
	After   string // text behind the command
}

// Do returns a fix without a command.
func Do(text string) Fix { return Fix{Before: text} }

// Run returns a fix that is a command to run.
func Run(command string) Fix { return Fix{Before: "run: ", Command: command} }

// Login returns the command that logs in to an account.
func Login(account string) string { return "relay auth login " + account }

// String returns the fix as text.
func (f Fix) String() string { return f.Before + f.Command + f.After }

// Empty reports whether f is the zero Fix.
func (f Fix) Empty() bool { return f == Fix{} }

// With returns the fix as text, with flags appended to a command of relay. Flags are empty or begin with a space.
func (f Fix) With(flags string) string { return f.Before + complete(f.Command, flags) + f.After }

// Short returns only the command, with flags as in [Fix.With], or the text if there is no command.
func (f Fix) Short(flags string) string {
	if f.Command == "" {
		return f.String()
	}
	return complete(f.Command, flags)
}

func complete(command, flags string) string {
	if strings.HasPrefix(command, "relay ") {
		command += flags
	}
	return command
}

// Error is an error with a fix, which its text ends in.
type Error struct {
	Err error
	Fix Fix
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() + "; " + e.Fix.String() }

// Unwrap returns the error without the fix.
func (e *Error) Unwrap() error { return e.Err }

// Advice implements [Adviser].
func (e *Error) Advice() Fix { return e.Fix }

// Adviser is an error with a fix. Unless the fix is empty, the text of the error ends in "; " and the fix.
type Adviser interface {
	error
	Advice() Fix
}

// FixOf returns the fix of err; the outermost if wrapped errors have several, and an empty one if none has.
func FixOf(err error) Fix {
	for err != nil {
		a, ok := errors.AsType[Adviser](err)
		if !ok {
			return Fix{}
		}
		if fix := a.Advice(); !fix.Empty() {
			return fix
		}
		err = errors.Unwrap(a)
	}
	return Fix{}
}

// Split splits the text of err into the problem and the fix at its end. Without such a fix, all of it is the problem.
func Split(err error) (wrong string, fix Fix) {
	fix = FixOf(err)
	wrong, found := strings.CutSuffix(err.Error(), "; "+fix.String())
	if fix.Empty() || !found {
		return err.Error(), Fix{}
	}
	return wrong, fix
}

// Text returns the text of err, with flags appended to each command of relay in a fix, wherever in the error tree the
// fix is.
func Text(err error, flags string) string {
	text := err.Error()
	if flags == "" {
		return text
	}
	text = within(text, inner(err), flags)
	if a, ok := err.(Adviser); ok { //nolint:errorlint // Text walks the tree itself
		if rest, found := strings.CutSuffix(text, a.Advice().String()); found {
			text = rest + a.Advice().With(flags)
		}
	}
	return text
}

// within replaces the texts of errs, which occur in text in this order, by the result of [Text].
func within(text string, errs []error, flags string) string {
	var b strings.Builder
	for _, err := range errs {
		before, after, found := strings.Cut(text, err.Error())
		if !found {
			continue
		}
		b.WriteString(before + Text(err, flags))
		text = after
	}
	return b.String() + text
}

// inner returns the errors that err wraps directly.
func inner(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if one := errors.Unwrap(err); one != nil {
		return []error{one}
	}
	return nil
}
