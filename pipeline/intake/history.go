package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/treat"
)

// History is a provider's list of the past treats of one account.
type History interface {
	// Fetch asks for the list and returns one reply, which has come whole. The caller closes it. The text of an error holds no
	// secret. Fetch is not called by two goroutines at once.
	Fetch(ctx context.Context) (Reply, error)
}

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

// ErrHistoryUnreadable says that a reply is not a list of treats. Nothing of it is used.
var ErrHistoryUnreadable = errors.New("the history cannot be read")

func unreadable(why string) error { return fmt.Errorf("%w: %s", ErrHistoryUnreadable, why) }

// A past is a dated treat of a reply: what tells it from others, and where it stands.
type past struct {
	fingerprint.Fingerprint
	same   fingerprint.Identity
	offset int64
	length int32
	part   int32 // which of the treats that stand there
}

// body reads a treat of the reply once more.
func (p *past) body(from io.ReaderAt) (treat.Treat, error) {
	text := make([]byte, p.length)
	if _, err := from.ReadAt(text, p.offset); err != nil && !errors.Is(err, io.EOF) {
		return treat.Treat{}, fmt.Errorf("read a treat of the history again: %w", err)
	}
	treats, _ := treat.DecodeItem(bytes.TrimLeft(text, ", \t\r\n")) // what is no treat beside it was counted
	if int(p.part) >= len(treats) {
		return treat.Treat{}, errors.New("read a treat of the history again: it is not there any more")
	}
	return treats[p.part], nil
}
