package chattext

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/treatrelay/relay/pipeline"
)

// Template is an operator's template for a treat. Every value that it prints is escaped, so that only the template
// itself can have markup.
type Template struct {
	tmpl  *template.Template
	limit int
}

// NewTemplate parses a template and tries it on treats of every kind. An error begins with line and column.
func NewTemplate(text string, limit int, escape func(string) string) (*Template, error) {
	tmpl, err := parseTemplate(text, escape)
	if err != nil {
		return nil, err
	}
	for _, t := range tmpl.Templates() {
		if t.Tree != nil {
			escapeActions(t.Root)
		}
	}
	t := &Template{tmpl, limit}
	when := time.Unix(1_780_000_000, 0).UTC()
	full := Treat{
		ID: "trt_x", Account: "mystream", Provider: "treatstream", Sender: "GenerousViewer", Receiver: "streamer", Title: "Pizza",
		Message: "enjoy!", Origin: string(pipeline.OriginLive), Time: when,
	}
	for _, sample := range []Treat{full, {ID: "trt_x", Anonymous: true, Origin: string(pipeline.OriginTest), Time: when}} {
		out, err := t.execute(sample)
		if err != nil {
			return nil, err
		}
		if n := Units(out); n > limit {
			return nil, fmt.Errorf("1:1: makes %d characters of an ordinary treat, more than the %d that are shown", n, limit)
		}
	}
	return t, nil
}

// Render executes the template. If the result exceeds the limit, it tries again with shorter values.
func (t *Template) Render(treat Treat) (string, error) {
	for limit := maxMessage; ; limit /= 2 {
		treat.Message = Fit(treat.Message, max(limit, 1), Verbatim)
		if limit < maxName {
			treat.Sender = Fit(treat.Sender, max(limit, 1), Verbatim)
			treat.Receiver = Fit(treat.Receiver, max(limit, 1), Verbatim)
			treat.Title = Fit(treat.Title, max(limit, 1), Verbatim)
		}
		out, err := t.execute(treat)
		if err != nil {
			return "", err
		}
		if Units(out) <= t.limit {
			return out, nil
		}
		if limit == 0 { // the template is long even without values
			return Fit(out, t.limit, Verbatim), nil
		}
	}
}

func (t *Template) execute(treat Treat) (string, error) {
	var b strings.Builder
	if err := t.tmpl.Execute(&b, treat); err != nil {
		return "", templateError(err)
	}
	return strings.TrimSpace(b.String()), nil
}

// escapeFunc is the name of the function that every printed value passes through.
const escapeFunc = "_escape"

func parseTemplate(text string, escape func(string) string) (*template.Template, error) {
	parsed, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{
		escapeFunc: func(v any) string { return escape(fmt.Sprint(v)) },
	}).Parse(text)
	if err == nil {
		return parsed, nil
	}
	// The parser reports only the line. The shortest prefix with the same error ends with the action to blame.
	at := max(strings.LastIndex(text, "{{"), 0)
	for end := 0; ; {
		i := strings.Index(text[end:], "}}")
		if i < 0 {
			break
		}
		end += i + len("}}")
		if _, e := template.New("template").Funcs(template.FuncMap{escapeFunc: escape}).Parse(text[:end]); e != nil && e.Error() == err.Error() {
			at = max(strings.LastIndex(text[:end], "{{"), 0)
			break
		}
	}
	before := text[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	_, why, _ := strings.Cut(strings.TrimPrefix(err.Error(), "template: "), ": ")
	if why == "unexpected EOF" {
		why = "an {{if}}, {{with}} or {{range}} has no {{end}}"
	}
	return nil, fmt.Errorf("%d:%d: %s", line, column, why)
}

// templateError puts line and column first, and lists the known fields if one is unknown.
func templateError(err error) error {
	place := regexp.MustCompile(`^template: [^:]*:(\d+):(\d+): executing [^ ]+ at <(.*?)>: (.*)$`)
	m := place.FindStringSubmatch(strings.Join(strings.Fields(err.Error()), " "))
	if m == nil {
		return err
	}
	column := m[2]
	var zero int
	if _, e := fmt.Sscan(column, &zero); e == nil {
		column = fmt.Sprint(zero + 1) // text/template counts from 0
	}
	why := m[4]
	if strings.Contains(why, "can't evaluate field") {
		var fields []string
		for f := range reflect.TypeFor[Treat]().Fields() {
			fields = append(fields, "."+f.Name)
		}
		why = "there is no such field; known: " + strings.Join(fields, " ")
	}
	return errors.New(m[1] + ":" + column + ": " + m[3] + ": " + why)
}

// escapeActions appends [escapeFunc] to every action that prints.
func escapeActions(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
					NodeType: parse.NodeCommand, Pos: n.Pos,
					Args: []parse.Node{parse.NewIdentifier(escapeFunc).SetTree(nil).SetPos(n.Pos)},
				})
			}
		case *parse.IfNode:
			escapeActions(n.List)
			escapeActions(n.ElseList)
		case *parse.RangeNode:
			escapeActions(n.List)
			escapeActions(n.ElseList)
		case *parse.WithNode:
			escapeActions(n.List)
			escapeActions(n.ElseList)
		}
	}
}
