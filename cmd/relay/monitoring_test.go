package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
)

// Relay has every metric and label that the alert rules and the dashboard use.
func TestMonitoring(t *testing.T) {
	known := map[string]string{}
	for _, section := range []string{"## Accounts", "## Logins", "## The journal", "## Sinks"} { // TestDocumentedMetrics compares these with the code
		for _, row := range doctest.Rows(t, doctest.Read(t, filepath.Join("docs", "metrics.md")), section) {
			known[doctest.Code(row[0])[0]] = row[1] + " " + row[2]
		}
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	text := doctest.Read(t, filepath.Join("docs", "monitoring", "alerts.yml"))
	if err := yaml.UnmarshalWithOptions([]byte(text), &rules, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(doctest.Read(t, filepath.Join("docs", "monitoring", "dashboard.json"))), &dashboard); err != nil {
		t.Fatal(err)
	}
	exprs := map[string]string{}
	for _, r := range rules.Groups[0].Rules {
		exprs["alert "+r.Alert] = r.Expr
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
			t.Errorf("alert %s does not say how grave it is, what is wrong and what to do", r.Alert)
		}
		for _, label := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["action"], -1) {
			name := regexp.MustCompile(`relay_\w+`).FindString(r.Expr)
			if !strings.Contains(known[name], "`"+label[1]+"`") {
				t.Errorf("alert %s names the label %s, which %s has not", r.Alert, label[1], name)
			}
		}
		for _, m := range regexp.MustCompile(`relay [a-z]+ [^;.,]*`).FindAllString(strings.ReplaceAll(r.Annotations["action"], "{{ $labels.", "{{$labels."), -1) {
			line := regexp.MustCompile(`\{\{\$labels\.\w+ ?\}\}`).ReplaceAllString(m, "name")
			line = regexp.MustCompile(` (says|shows|goes|tries|say) .*`).ReplaceAllString(line, "")
			if _, err := parseCommand(strings.TrimSpace(line)); err != nil {
				t.Errorf("alert %s: %s: %v", r.Alert, line, err)
			}
		}
	}
	used := map[string]bool{}
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		if p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %q is too wide, or shows nothing", p.Title)
		}
		for i, target := range p.Targets {
			exprs[fmt.Sprintf("panel %s %d", p.Title, i)] = target.Expr
		}
	}
	for _, v := range dashboard.Templating.List {
		exprs["variable "+v.Name] = v.Query
	}
	for where, expr := range exprs {
		for _, name := range regexp.MustCompile(`\brelay_\w+`).FindAllString(expr, -1) {
			family := name
			if cut, ok := strings.CutSuffix(name, "_bucket"); ok && strings.HasPrefix(known[cut], "histogram") {
				family = cut
			}
			if known[family] == "" {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			used[family] = true
			for _, by := range regexp.MustCompile(`(?:by \(|\b)(account|sink|origin|result)(?:[,)]|=~)`).FindAllStringSubmatch(expr, -1) {
				if !strings.Contains(known[family], "`"+by[1]+"`") {
					t.Errorf("%s: %s has no label %s", where, family, by[1])
				}
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("%d metrics are used", len(used))
	}
}
