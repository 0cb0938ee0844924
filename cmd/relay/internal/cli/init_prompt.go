package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// ask asks the questions that no flag has answered, each until the answer is valid.
func (o *initOptions) ask(ctx context.Context) error {
	input := newLineReader(o.In)
	defer input.stop()
	for _, q := range o.questions() {
		if !q.applies() || q.flagOnly || o.given(q.flag) {
			continue
		}
		for {
			answer, err := o.prompt(ctx, input, &q)
			if err != nil {
				return err
			}
			invalid := q.set(answer)
			if invalid == nil {
				break
			}
			if err := o.Say("%s: %v", q.flag, invalid); err != nil {
				return err
			}
		}
	}
	return nil
}

// prompt asks a question once and returns the answer, or the default for an empty one.
func (o *initOptions) prompt(ctx context.Context, input *lineReader, q *question) (string, error) {
	hint := ""
	if q.defaultAnswer() != "" {
		hint = " [" + q.defaultAnswer() + "]"
	}
	if _, err := fmt.Fprintf(o.Err, "%s%s: ", q.prompt, hint); err != nil {
		return "", err
	}
	answer, err := input.next(ctx)
	if err != nil {
		return "", errors.Join(err, o.Say("")) // end the line of the question
	}
	if answer == "" {
		answer = q.defaultAnswer()
	}
	return answer, nil
}

// A lineReader reads the lines that a person types, in a goroutine, so that a signal ends the wait for one. Call stop at the end.
type lineReader struct {
	input io.Reader
	lines chan string // closed at the end of the input
	done  chan struct{}
}

func newLineReader(input io.Reader) *lineReader {
	r := &lineReader{input: input, lines: make(chan string), done: make(chan struct{})}
	go func() {
		defer close(r.lines)
		for lines := bufio.NewScanner(input); lines.Scan(); {
			select {
			case r.lines <- strings.TrimSpace(lines.Text()):
			case <-r.done:
				return
			}
		}
	}()
	return r
}

// next waits for a line. It returns the line without surrounding space.
func (r *lineReader) next(ctx context.Context) (string, error) {
	select {
	case line, ok := <-r.lines:
		if !ok {
			return "", exit.Usagef("the input ended before every question of relay init was answered: nothing is written")
		}
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("ask for the configuration: %w: nothing is written", context.Cause(ctx))
	}
}

// stop ends the goroutine and waits for it, if the input supports deadlines. Otherwise the goroutine ends with its current read.
func (r *lineReader) stop() {
	close(r.done)
	if d, ok := r.input.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Now()) == nil {
		for range r.lines { // until it is closed
		}
		_ = d.SetReadDeadline(time.Time{})
	}
}
