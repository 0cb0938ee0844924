package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/webhook"
)

// scalar decodes one text.
func (d *decoder) scalar(n ast.Node, path string, v reflect.Value, tag reflect.StructTag) {
	raw, ok := scalarText(n)
	if !ok {
		d.wrongKind(n, path, v.Type(), tag)
		return
	}
	text, expanded, err := d.expand(raw)
	if err == nil && isURL(tag) {
		text, err = trimURL(text)
	}
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
	case isSecret(v):
		d.hide(text)
		if !isURL(tag) || strings.Contains(text, "@") {
			d.inline = append(d.inline, path)
		}
	}
	noun := nounOf(v.Type())
	switch {
	case setScalar(v, text, tag) == nil:
	case noun != "" && text == "":
		d.reject(path, "is empty")
	case noun != "":
		d.unknown(path, noun, text, wordsOf(v.Type()))
	default:
		d.report(beginning(n), path, wanted(v.Type(), tag)+d.quote(", got ", path, text))
	}
}

// quote returns words and the quoted value at a path. It returns nothing for a value from the environment, which may be a secret.
func (d *decoder) quote(words, path, text string) string {
	if _, ok := d.expanded[path]; ok {
		return ""
	}
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "..."
	}
	return words + strconv.Quote(text)
}

// hide removes a text from every error, also where a sink quotes it.
func (d *decoder) hide(text string) {
	quoted := strconv.Quote(text)
	d.secrets = append(d.secrets, secret.New(text), secret.New(quoted[1:len(quoted)-1]))
}

// setScalar sets v, the value of a key with these tags, from text. It knows every type that keys have.
func setScalar(v reflect.Value, text string, tag reflect.StructTag) (err error) {
	if words := wordsOf(v.Type()); words != nil && !slices.Contains(words, text) {
		return strconv.ErrSyntax
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		var value time.Duration
		if value, err = parseDuration(text, tag); err == nil {
			*p = value
		}
		return err
	case *int:
		var value int
		if value, err = parseNumber(text, tag); err == nil {
			*p = value
		}
		return err
	case *bool:
		if *p = text == "true"; !*p && text != "false" {
			return strconv.ErrSyntax
		}
		return nil
	case **time.Location:
		*p, err = parseZone(text)
		return err
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	}
	if v.Kind() != reflect.String {
		panic("a configuration has a key of type " + v.Type().String() + ", which the decoder does not know")
	}
	v.SetString(text)
	return nil
}

// parseZone finds an IANA time zone. It refuses the machine's own zone, because the dates are the provider's.
func parseZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errors.New("not an IANA time zone")
	}
	return time.LoadLocation(name)
}

func (d *decoder) wrongKind(n ast.Node, path string, t reflect.Type, tag reflect.StructTag) {
	d.report(beginning(n), path, wanted(t, tag)+", got "+kind(n))
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// expand replaces ${VAR} by the variable's value and $${ by ${. It does not expand the values of variables again.
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
			return "", false, errors.New("${ must be followed by the name of an environment variable and }; write $${ for a literal ${")
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

// CheckReadable checks that path is a regular file that can be opened. It opens nothing else, because opening a pipe would wait for its writer.
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
