package overlay

import (
	"bytes"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
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
	Picture
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

// Picture is what stands for a treat: an emoji, and instead of it a file in the overlay's folder if there is one.
type Picture struct {
	Emoji string `json:"picture"`
	File  string `json:"picture_file,omitempty"`
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
	hidden   hidden
	pictures pictures
}

func newLook(s *Settings) look {
	return look{newHidden(s.HideWords), newPictures(s.Pictures)}
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
	a.Picture = l.pictures.of(a.Title)
	return a, nil
}

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
				kept := clamp(displaytext.Clean(**text, maxLines), slimTimes*limit)
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
		Sender: clean(sender, maxName, 1, l.hidden), Title: clean(title, maxTitle, 1, l.hidden),
		Message: clean(message, maxMessage, maxLines, l.hidden),
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
		if name := clean(decoded.Data.Sender, maxName, 1, l.hidden); !seen[name] {
			seen[name] = true
			a.MoreSenders = append(a.MoreSenders, name)
		}
	}
	return a, nil
}
