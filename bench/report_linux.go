package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A result is the result of one part of the benchmark.
type result struct {
	name  string // of its files, without extension
	title string
	text  string // describes the measurement
	table table
	chart chart
}

type table struct {
	columns []string
	rows    [][]string
}

// A chart has a bar for each value. A chart without bars is not drawn.
type chart struct {
	unit string
	bars []bar
}

type bar struct {
	label string
	value float64
	ours  bool
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String returns the table in Markdown, aligned for reading as plain text.
func (t *table) String() string {
	widths := make([]int, len(t.columns))
	for _, row := range append([][]string{t.columns}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(t.columns)
	for i, w := range widths {
		if i == 0 {
			b.WriteString("|" + strings.Repeat("-", w+2))
		} else {
			b.WriteString("|" + strings.Repeat("-", w+1) + ":")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// svg returns the chart as SVG.
func (r *result) svg() string {
	const left, width, step, top = 330, 480, 28, 56
	most := 0.0
	for _, b := range r.chart.bars {
		most = max(most, b.value)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n",
		left+width+110, top+step*len(r.chart.bars)+16)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="16" y="24" font-size="16">%s</text><text x="16" y="44" fill="#555">%s</text>`+"\n",
		html.EscapeString(r.title), html.EscapeString(r.chart.unit))
	for i, bar := range r.chart.bars {
		y := top + i*step
		colour := "#9aa5b1"
		if bar.ours {
			colour = "#1565c0"
		}
		w := 0.0
		if most > 0 {
			w = bar.value / most * width
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
			left-8, y+16, html.EscapeString(bar.label), left, y+3, w, step-9, colour, left+w+6, y+16, html.EscapeString(number(bar.value)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// write writes the result to files in a folder, and the table to stdout.
func (r *result) write(dir string) error {
	text := fmt.Sprintf("## %s\n\n%s\n\n%s", r.title, r.text, &r.table)
	if _, err := fmt.Println(text); err != nil { //nolint:forbidigo // tables are this program's data
		return err
	}
	raw, err := json.MarshalIndent(map[string]any{"title": r.title, "columns": r.table.columns, "rows": r.table.rows}, "", "  ")
	if err != nil {
		return err
	}
	files := map[string]string{"md": text, "json": string(raw) + "\n"}
	if len(r.chart.bars) > 0 {
		files["svg"] = r.svg()
	}
	for ext, content := range files {
		if err := os.WriteFile(filepath.Join(dir, r.name+"."+ext), []byte(content), 0o644); err != nil { //nolint:gosec // for everybody to read
			return err
		}
	}
	return nil
}

// median returns the median of several values.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func medianOf[R any, T cmp.Ordered](runs []R, of func(R) T) T {
	values := make([]T, len(runs))
	for i, run := range runs {
		values[i] = of(run)
	}
	return median(values)
}

// number formats a value with three significant digits and thousands separators.
func number(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return withSeparators(fmt.Sprintf("%.0f", v))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// whole formats a count.
func whole(n int) string { return withSeparators(strconv.Itoa(n)) }

// withSeparators inserts thousands separators.
func withSeparators(digits string) string {
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

func milliseconds(d time.Duration) string { return number(inMilliseconds(d)) }

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mebibytes(bytes int64) string { return number(float64(bytes) / (1 << 20)) }

// ratio formats a divided by b.
func ratio(a, b float64) string { return fmt.Sprintf("%.2f", a/b) }
