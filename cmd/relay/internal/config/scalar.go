package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/webhook"
)

// scalar decodes one text.
func (d *decoder) scalar(n ast.Node, path string, v reflect.Value) {
	raw, ok := scalarText(n)
	if !ok {
		d.wrongKind(n, path, v.Type())
		return
	}
	text, expanded, err := d.expand(raw)
	if err == nil && isURLKey(path) {
		text, err = trimURL(text)
	}
	_, isSecret := reflect.TypeAssert[secret.String](v)
	_, isTemplate := reflect.TypeAssert[webhook.Template](v)
	switch {
	case err != nil:
		d.report(beginning(n), path, err.Error())
		return
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && (r != '\n' || !isTemplate) }):
		d.report(beginning(n), path, "want one line of text without control characters")
		return
	case expanded:
		d.expanded[path] = raw
		d.hide(text)
	case isSecret:
		d.hide(text)
		isURL := strings.HasSuffix(path, "url") || strings.HasSuffix(path, ".proxy")
		if !isURL || strings.Contains(text, "@") {
			d.inline = append(d.inline, path)
		}
	}
	if setScalar(v, text) != nil {
		d.report(beginning(n), path, wanted(v.Type())+d.quote(", got ", path, text))
	}
}

// quote returns the words and a value, or nothing if the value is from the environment: it may be a secret.
func (d *decoder) quote(words, path, text string) string {
	if _, ok := d.expanded[path]; ok {
		return ""
	}
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "..."
	}
	return words + strconv.Quote(text)
}

// hide keeps a text out of every error, also where a sink quotes it.
func (d *decoder) hide(text string) {
	quoted := strconv.Quote(text)
	d.secrets = append(d.secrets, secret.New(text), secret.New(quoted[1:len(quoted)-1]))
}

// setScalar sets v from text. It knows the types that configurations have.
func setScalar(v reflect.Value, text string) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = time.ParseDuration(text)
	case encoding.TextUnmarshaler:
		err = p.UnmarshalText([]byte(text))
	case *string:
		*p = text
	case *webhook.Template:
		*p = webhook.Template(text)
	case *int:
		*p, err = strconv.Atoi(text)
	case *bool:
		if *p = text == "true"; !*p && text != "false" {
			err = strconv.ErrSyntax
		}
	default:
		panic("a configuration has a field of type " + v.Type().String() + ", which the decoder does not know")
	}
	return err
}

// wanted says how a value of a type is written.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "want a duration such as 5s or 72h"
	case t.Kind() == reflect.Slice:
		return "want a list such as [a, b]"
	case t.Kind() == reflect.Bool:
		return "want true or false"
	case t.Kind() == reflect.Int:
		return "want a whole number"
	}
	if w, ok := reflect.TypeAssert[interface{ wanted() string }](reflect.Zero(t)); ok {
		return "want " + w.wanted()
	}
	return "want a text"
}

func (d *decoder) wrongKind(n ast.Node, path string, t reflect.Type) {
	d.report(beginning(n), path, wanted(t)+", got "+kind(n))
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// expand replaces ${VAR} by the variable's value and $${ by ${. What a variable holds is not expanded again.
func (d *decoder) expand(text string) (out string, expanded bool, err error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), expanded, nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !variable.MatchString(name) {
			return "", false, errors.New("after ${ comes the name of an environment variable and then }; write $${ for ${ itself")
		}
		value, ok := d.getenv(name)
		if !ok {
			return "", false, fmt.Errorf("the environment variable %s is not set", name)
		}
		d.hide(value)
		b.WriteString(before + value)
		text, expanded = after, true
	}
}

// CheckReadable looks before a file is opened, for opening a pipe would wait for its writer.
func CheckReadable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // The path is the operator's own.
	if err != nil {
		return err
	}
	return f.Close()
}
