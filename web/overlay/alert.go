package overlay

import (
	"bytes"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay/alerttext"
)

// Alert is what a page shows of a treat. Its texts are clean and of limited length, but a page must still set them as
// text, never as HTML.
type Alert struct {
	Number  uint64          `json:"number"` // in the journal; 0: a test of the overlay alone
	ID      string          `json:"id"`
	Account string          `json:"account"`
	Origin  pipeline.Origin `json:"origin"`
	Time    time.Time       `json:"time"`
	Text
	alerttext.Picture
	Merged
	Repeat bool `json:"repeat"` // shown although it may have been shown before
}

// Text is what a viewer wrote.
type Text struct {
	Sender    string `json:"sender"` // empty: anonymous
	Title     string `json:"title"`
	Message   string `json:"message"`
	Anonymous bool   `json:"anonymous"`
}

// Merged are further treats that an alert stands for.
type Merged struct {
	More        int      `json:"more"`
	MoreSenders []string `json:"more_senders,omitempty"` // some of them, each once
}

// maxMoreSenders is how many senders of merged treats are named.
const maxMoreSenders = 3

// look makes alerts of events.
type look struct {
	hidden   alerttext.Hidden
	pictures alerttext.Pictures
}

func newLook(s *Settings) look {
	return look{alerttext.NewHidden(s.HideWords), alerttext.NewPictures(s.Pictures)}
}

// alert decodes an event.
func (l look) alert(e Event) (Alert, error) {
	decoded, err := e.Event()
	if err != nil {
		return Alert{}, err
	}
	d := decoded.Data
	a := Alert{Number: e.Seq, ID: e.ID, Account: e.Account, Origin: e.Origin, Time: e.Time}
	a.Text = l.text(d.Sender, d.Title, d.Message)
	a.Anonymous = d.Anonymous || a.Sender == ""
	a.Picture = l.pictures.Of(a.Title)
	return a, nil
}

// How many graphemes of each text are shown, and lines of a message.
const (
	maxName    = 80
	maxTitle   = 80
	maxMessage = 300
	maxLines   = 6
)

// The size of a line from which it is made slim, and how many times more graphemes it keeps of a text than are shown, so that a hidden word at the
// end is still found.
const (
	slimBytes = 4 << 10
	slimTimes = 4
)

// slim returns the event with only the texts that an alert shows, and little more than it shows of them: a treat may have a MiB. It shares no memory
// with e.
func slim(e Event) Event {
	if len(e.Line) <= slimBytes {
		e.Line = bytes.Clone(e.Line)
		return e
	}
	decoded, err := e.Event()
	if err == nil {
		d := &decoded.Data
		d.Raw = nil
		for text, limit := range map[**string]int{&d.Sender: maxName, &d.Title: maxTitle, &d.Message: maxMessage} {
			if *text != nil {
				kept := alerttext.Clamp(displaytext.Clean(**text, maxLines), slimTimes*limit)
				*text = &kept
			}
		}
		if line, lineErr := decoded.Line(); lineErr == nil {
			e.Line = line
			return e
		}
	}
	e.Line = bytes.Clone(e.Line[:slimBytes]) // which cannot be decoded either
	return e
}

func (l look) text(sender, title, message *string) Text {
	return Text{
		Sender: alerttext.Clean(sender, maxName, 1, l.hidden), Title: alerttext.Clean(title, maxTitle, 1, l.hidden),
		Message: alerttext.Clean(message, maxMessage, maxLines, l.hidden),
	}
}

// merge makes one alert of events, of which the first is shown in full.
func (l look) merge(events []Event) (Alert, error) {
	a, err := l.alert(events[0])
	if err != nil {
		return Alert{}, err
	}
	a.More = len(events) - 1
	seen := map[string]bool{a.Sender: true, "": true}
	for _, e := range events[1:] {
		if len(a.MoreSenders) == maxMoreSenders {
			break
		}
		decoded, err := e.Event()
		if err != nil {
			continue // it still counts as one of the merged
		}
		if name := alerttext.Clean(decoded.Data.Sender, maxName, 1, l.hidden); !seen[name] {
			seen[name] = true
			a.MoreSenders = append(a.MoreSenders, name)
		}
	}
	return a, nil
}
