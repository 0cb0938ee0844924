package rules

import (
	"strings"
	"testing"
)

func TestFilterFaults(t *testing.T) {
	for text, want := range map[string]string{
		`data.ttile == "x"`:                "line 1, column 6: ",
		"data.anonymous and\n  data.title": "line 1, column 16: ",
		`data.title == 3`:                  "line 1, column 12: ",
		`data.title + "x"`:                 "expected bool",
		`(`:                                "line 1, column 1: ",
		``:                                 "",
	} {
		_, err := NewFilter(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("NewFilter(%q) = %v, want one line with %q", text, err, want)
		}
	}
}
