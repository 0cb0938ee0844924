package rules

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/treatrelay/relay/pipeline"
)

// Filter selects the events for a sink by an expression of the Expr language, such as data.title contains "pizza" and
// not data.anonymous. Its names are those of the event's JSON form. Null reads as an empty string. A Filter is safe for
// concurrent use.
type Filter struct {
	text    string
	program *vm.Program
}

// filterEvent is the event that a filter sees.
type filterEvent struct {
	ID           string     `expr:"id"`
	Source       string     `expr:"source"`
	Type         string     `expr:"type"`
	Time         time.Time  `expr:"time"`
	RecordedTime time.Time  `expr:"recordedtime"`
	Origin       string     `expr:"origin"`
	Data         filterData `expr:"data"`
}

type filterData struct {
	Account      string `expr:"account"`
	Provider     string `expr:"provider"`
	Sender       string `expr:"sender"`
	SenderType   string `expr:"sender_type"`
	Receiver     string `expr:"receiver"`
	ReceiverType string `expr:"receiver_type"`
	Title        string `expr:"title"`
	Message      string `expr:"message"`
	Anonymous    bool   `expr:"anonymous"`
	DateCreated  string `expr:"date_created"`
}

// NewFilter compiles an expression. The error is one line with the position of the fault.
func NewFilter(text string) (*Filter, error) {
	program, err := expr.Compile(text, expr.Env(filterEvent{}), expr.AsBool())
	if fault, ok := errors.AsType[*file.Error](err); ok {
		return nil, fmt.Errorf("line %d, column %d: %s", fault.Line, fault.Column+1, strings.ReplaceAll(fault.Message, "type rules.filterData", "data"))
	}
	if err != nil {
		return nil, err
	}
	return &Filter{text, program}, nil
}

// String returns the expression.
func (f *Filter) String() string { return f.text }

// Match reports whether a record passes the filter. An error means that the expression fails on this record.
func (f *Filter) Match(r pipeline.Record) (bool, error) {
	e, err := r.Event()
	if err != nil {
		return false, err
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	d := &e.Data
	got, err := expr.Run(f.program, filterEvent{
		ID: e.ID, Source: e.Source, Type: e.Type, Time: e.Time, RecordedTime: e.RecordedTime, Origin: string(e.Origin),
		Data: filterData{
			Account: d.Account, Provider: d.Provider, Sender: text(d.Sender), SenderType: text(d.SenderType),
			Receiver: text(d.Receiver), ReceiverType: text(d.ReceiverType), Title: text(d.Title), Message: text(d.Message),
			Anonymous: d.Anonymous, DateCreated: text(d.DateCreated),
		},
	})
	if fault, ok := errors.AsType[*file.Error](err); ok {
		err = errors.New(fault.Message)
	}
	if err != nil {
		return false, fmt.Errorf("filter event %s: %w", r.ID, err)
	}
	return got == true, nil
}
