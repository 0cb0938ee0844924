// Package history reads what a provider answers when it is asked for the past treats of an account: a list of any shape, which may come in pages.
package history

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Reply is what a provider answered: JSON of any shape. It is read once from its beginning, and then in pieces. It may be a [Paged].
type Reply interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// Paged is a reply that may be one page of a list of several.
type Paged interface {
	// Next asks for the page that a reply names, when all before it is read, and appends that to the reply: reading goes on with it. It returns an
	// [ErrPageElsewhere] if it must not ask there, and an [ErrPagesTooLarge] if that would be too much.
	Next(ctx context.Context, p NextPage) error
}

// NextPage is how a reply names the page that follows it.
type NextPage struct {
	URL    string // empty: by its number
	Number int    // from 2 on
}

// ErrPageElsewhere says that a page is not of the same origin as the history.
var ErrPageElsewhere = errors.New("its next page is at another host")

// ErrPagesTooLarge says that a history is larger with its next page than what is read of one.
var ErrPagesTooLarge = errors.New("its pages are too large")

// ErrUnreadable says that a reply is not a list of treats. Nothing of it is used.
var ErrUnreadable = errors.New("the history cannot be read")

func unreadable(why string) error { return fmt.Errorf("%w: %s", ErrUnreadable, why) }
