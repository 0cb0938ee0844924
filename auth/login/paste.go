package login

import (
	"bufio"
	"io"
	"net/url"
	"strings"
	"time"
)

const pasteLimit = 64 << 10 // bytes of one line

// paster reads pasted addresses.
type paster struct {
	from     io.Reader
	finished chan struct{}
}

// readPasted turns each line of from into an arrival, until the end of from or until done is closed.
func readPasted(from io.Reader, arrivals chan<- arrival, done <-chan struct{}) *paster {
	p := &paster{from: from, finished: make(chan struct{})}
	if from == nil {
		close(p.finished)
		return p
	}
	go func() {
		defer close(p.finished)
		lines := bufio.NewScanner(from)
		lines.Buffer(nil, pasteLimit)
		for lines.Scan() {
			if strings.TrimSpace(lines.Text()) == "" {
				continue
			}
			query, problem := parsePasted(lines.Text())
			answer := make(chan verdict, 1)
			select {
			case arrivals <- arrival{query: query, pasted: true, problem: problem, verdict: answer}:
				<-answer
			case <-done:
				return
			}
		}
	}()
	return p
}

// stop waits for the goroutine if its read can be interrupted. Otherwise the goroutine ends after its last read.
func (p *paster) stop() {
	if d, ok := p.from.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Now()) == nil {
		<-p.finished
		_ = d.SetReadDeadline(time.Time{})
	}
}

// parsePasted returns the query of a pasted address, or of a pasted query. problem says why there is none, and quotes
// no part of the text.
func parsePasted(text string) (query url.Values, problem string) {
	text = strings.Trim(strings.TrimSpace(text), `"'<>`)
	if _, after, found := strings.Cut(text, "?"); found {
		text = after
	}
	text, _, _ = strings.Cut(text, "#")
	query = parseReply(text)
	if !query.Has("state") && !query.Has("code") && !query.Has("error") {
		return nil, "the text holds no state and no code; copy the whole address line of the browser"
	}
	return query, ""
}
