package body

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"
)

// execError makes an error of text/template begin with line and column, both from 1.
func execError(err error) error {
	if exec, ok := errors.AsType[template.ExecError](err); ok {
		err = exec.Err
	}
	rest, ok := strings.CutPrefix(err.Error(), "template: body:")
	parts := strings.SplitN(rest, ":", 3)
	if !ok || len(parts) < 3 {
		return err
	}
	column, notNumber := strconv.Atoi(parts[1])
	if notNumber != nil {
		return err
	}
	what := strings.TrimPrefix(strings.TrimSpace(parts[2]), `executing "body" at `)
	return fmt.Errorf("%s:%d: %s", parts[0], column+1, what)
}

// syntaxError finds the column, which text/template omits: that of the first action which, together with the text
// before it, causes the same error.
func syntaxError(text string, err error) error {
	line, what, ok := strings.Cut(strings.TrimPrefix(err.Error(), "template: body:"), ": ")
	number, notNumber := strconv.Atoi(line)
	if !ok || notNumber != nil {
		return err
	}
	lines := strings.SplitAfter(text, "\n")
	number = min(max(number, 1), len(lines))
	before, here := strings.Join(lines[:number-1], ""), lines[number-1]
	column := 1
	for end := 0; ; {
		begin := strings.Index(here[end:], "{{")
		if begin < 0 {
			break
		}
		column = utf8.RuneCountInString(here[:end+begin]) + 1
		length := strings.Index(here[end+begin:], "}}")
		if length < 0 {
			break
		}
		end += begin + length + 2
		_, same := template.New("body").Funcs(templateFuncs()).Parse(before + here[:end])
		if same != nil && same.Error() == err.Error() {
			break
		}
	}
	return fmt.Errorf("%d:%d: %s", number, column, what)
}
