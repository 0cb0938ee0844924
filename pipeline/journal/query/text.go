package query

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/treatrelay/relay/pipeline"
)

// textFilter finds treats by their text. It is for one goroutine. Nil finds all events.
type textFilter struct {
	fold cases.Caser
	want string // folded
}

func newTextFilter(text string) *textFilter {
	if text == "" {
		return nil
	}
	t := &textFilter{fold: cases.Fold()}
	t.want = t.folded(text)
	return t
}

// dottedI is the folded form of the Turkish capital letter İ, for which most keyboards have only an i.
const dottedI = "i\u0307"

// folded returns a text in the form in which texts are compared: composed, and without the difference of upper and lower
// case.
func (t *textFilter) folded(text string) string {
	return norm.NFC.String(strings.ReplaceAll(t.fold.String(norm.NFC.String(text)), dottedI, "i"))
}

// matches reports whether the sender, the title or the message of an event contains the text.
func (t *textFilter) matches(r *pipeline.Record) bool {
	if t == nil {
		return true
	}
	e, err := r.Event()
	if err != nil {
		return false
	}
	for _, text := range []*string{e.Data.Sender, e.Data.Title, e.Data.Message} {
		if text != nil && strings.Contains(t.folded(*text), t.want) {
			return true
		}
	}
	return false
}
