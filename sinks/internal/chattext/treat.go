package chattext

import (
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
)

// Treat is a treat for display, and the data of a template: clean texts without markup.
type Treat struct {
	ID        string // of the event
	Account   string // the name in the configuration
	Provider  string
	Sender    string // empty if anonymous
	Receiver  string
	Title     string
	Message   string
	Anonymous bool
	Origin    string // live, backfill, test or replay
	Time      time.Time
}

// Maximum length of each text, in [Units].
const (
	maxName    = 100
	maxTitle   = 200
	maxMessage = 1500
)

// NewTreat decodes the record of a treat.
func NewTreat(r pipeline.Record) (Treat, error) {
	e, err := r.Event()
	if err != nil {
		return Treat{}, err
	}
	text := func(s *string, limit, lines int) string {
		if s == nil {
			return ""
		}
		return Fit(displaytext.Clean(*s, lines), limit, Verbatim)
	}
	origin := r.Origin
	if origin == "" {
		origin = e.Origin
	}
	d := e.Data
	return Treat{
		ID: e.ID, Account: d.Account, Provider: d.Provider, Origin: string(origin), Time: e.Time,
		Sender: text(d.Sender, maxName, 1), Receiver: text(d.Receiver, maxName, 1),
		Title: text(d.Title, maxTitle, 1), Message: text(d.Message, maxMessage, MaxLines), Anonymous: d.Anonymous,
	}, nil
}

// By returns who sent the treat, in words.
func (t Treat) By() string {
	if t.Sender == "" {
		return "An anonymous viewer"
	}
	return t.Sender
}

// Note returns further information about the treat, which may be empty: the receiver, and the origin unless it is live.
func (t Treat) Note() string {
	var parts []string
	if t.Receiver != "" {
		parts = append(parts, "for "+t.Receiver)
	}
	if t.Origin != "" && t.Origin != string(pipeline.OriginLive) {
		parts = append(parts, t.Origin)
	}
	return strings.Join(parts, " · ")
}
