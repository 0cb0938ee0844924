package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// shownFaults is how many faults of a file are reported. A file with more is probably not a configuration of relay.
const shownFaults = 50

// faultList keeps the first faults of a file and counts the others.
type faultList struct {
	first Faults // In the order of the file.
	count int
	at    map[string]bool // The paths with a fault.
	under map[string]bool // Those paths and the sections above them.
}

// shows reports whether a fault at a position would be one of the first.
func (l *faultList) shows(at position) bool {
	return len(l.first) < shownFaults || before(at, l.first[len(l.first)-1])
}

func before(at position, e Fault) bool {
	return cmp.Or(cmp.Compare(at.line, e.Line), cmp.Compare(at.column, e.Column)) < 0
}

// add adds a fault. Its message may be empty if the list does not show it.
func (l *faultList) add(e Fault) {
	l.count++
	l.at[e.Path] = true
	for path := e.Path; path != "" && !l.under[path]; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		l.under[path] = true
	}
	at := position{e.Line, e.Column}
	if !l.shows(at) {
		return
	}
	i := len(l.first)
	for i > 0 && before(at, l.first[i-1]) {
		i--
	}
	l.first = slices.Insert(l.first, i, e)
	l.first = l.first[:min(len(l.first), shownFaults)]
}

// all returns the first faults, followed by the number of the others.
func (l *faultList) all(file string) Faults {
	if more := l.count - len(l.first); more > 0 {
		return append(l.first, Fault{File: file, Message: fmt.Sprintf("and %d more faults: correct these first", more)})
	}
	return l.first
}
