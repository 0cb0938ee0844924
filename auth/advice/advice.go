// Package advice is what a person does about an error, as data: nobody has to look for it in the error's text.
package advice

import (
	"errors"
	"strings"
)

// A Fix says what a person does. The command in it is apart from the words around it, so that a program may complete it
// with the flags it was started with, or show it alone.
type Fix struct {
	Before  string // the words before the command; all of them where there is no command
	Command string // such as "relay auth login mystream"; empty when there is none
	After   string
}

// Do is advice without a command.
func Do(text string) Fix { return Fix{Before: text} }

// Run is advice to run a command.
func Run(command string) Fix { return Fix{Before: "run: ", Command: command} }

// Login is the command that logs in to an account.
func Login(account string) string { return "relay auth login " + account }

// String is the advice in words.
func (f Fix) String() string { return f.Before + f.Command + f.After }

// Empty reports whether there is no advice.
func (f Fix) Empty() bool { return f == Fix{} }

// With is the advice in words, with these flags after a command of relay's own. They begin with a blank, or are empty.
func (f Fix) With(flags string) string { return f.Before + complete(f.Command, flags) + f.After }

// Short is the command alone, with these flags as [Fix.With] has them, or the words where there is no command.
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

// Error is an error with the advice at the end of its text.
type Error struct {
	Err error
	Fix Fix
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() + "; " + e.Fix.String() }

// Unwrap gives the error without the advice.
func (e *Error) Unwrap() error { return e.Err }

// Advice implements [Adviser].
func (e *Error) Advice() Fix { return e.Fix }

// Adviser is an error that knows what to do about it. Unless the advice is empty, its text ends in "; " and the advice.
type Adviser interface {
	error
	Advice() Fix
}

// Of gives the advice of err, the outermost where errors wrap each other; empty when there is none.
func Of(err error) Fix {
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

// Cut parts err into what is wrong and the advice that its text ends in. Without such advice it is all what is wrong.
func Cut(err error) (wrong string, fix Fix) {
	fix = Of(err)
	wrong, found := strings.CutSuffix(err.Error(), "; "+fix.String())
	if fix.Empty() || !found {
		return err.Error(), Fix{}
	}
	return wrong, fix
}

// Text is the text of err with these flags after each command of relay's that it advises, wherever in the tree of errors the
// advice is.
func Text(err error, flags string) string {
	text := err.Error()
	if flags == "" {
		return text
	}
	text = within(text, inner(err), flags)
	if a, ok := err.(Adviser); ok { //nolint:errorlint // Text goes through the tree by itself.
		if rest, found := strings.CutSuffix(text, a.Advice().String()); found {
			text = rest + a.Advice().With(flags)
		}
	}
	return text
}

// within replaces the texts of errors, which follow each other in text, by what [Text] makes of them.
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

// inner gives the errors that err wraps directly.
func inner(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if one := errors.Unwrap(err); one != nil {
		return []error{one}
	}
	return nil
}
