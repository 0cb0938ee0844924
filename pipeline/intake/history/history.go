// Package history reads a provider's list of the past treats of an account. It accepts a list of any shape, with or
// without pages, and never guesses: a reply that is not certainly a list of treats is an error.
//
// It makes no requests itself. Start reading at [Read].
package history

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Reply is a provider's answer: JSON of any shape. It is read once from the start, and then in parts. It may implement
// [Paged].
type Reply interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// Paged is a reply that may be one page of several.
type Paged interface {
	// Next requests a page once everything before it is read, and appends it to the reply, so that reading continues
	// with it. It returns [ErrPageElsewhere] if the page is at another origin, and [ErrPagesTooLarge] if the pages are
	// too large.
	Next(ctx context.Context, p NextPage) error
}

// NextPage identifies the page after a reply.
type NextPage struct {
	URL    string // empty: by number
	Number int    // starting with 2
}

// ErrPageElsewhere means that a page has another origin than the history.
var ErrPageElsewhere = errors.New("its next page is at another host")

// ErrPagesTooLarge means that the history exceeds the limit with its next page.
var ErrPagesTooLarge = errors.New("its pages are too large")

// ErrUnreadable means that a reply is not a list of treats. Nothing of it is used.
var ErrUnreadable = errors.New("the history cannot be read")

func unreadable(why string) error { return fmt.Errorf("%w: %s", ErrUnreadable, why) }
