package intake

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/index"
)

// History is a provider's list of the past treats of one account.
type History interface {
	// Fetch asks for the list and returns one reply, which has come whole. The caller closes it. The text of an error holds no
	// secret. Fetch is not called by two goroutines at once.
	Fetch(ctx context.Context) (Reply, error)
}

// Reply is what a provider answered: JSON of any shape. It is read once from its beginning, and then in pieces.
type Reply interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// ErrHistoryUnreadable says that a reply is not a list of treats. Nothing of it is used.
var ErrHistoryUnreadable = errors.New("the history cannot be read")

func unreadable(why string) error { return fmt.Errorf("%w: %s", ErrHistoryUnreadable, why) }

// A past is a dated treat of a reply: what tells it from others, and where it stands.
type past struct {
	index.Fingerprint
	same   identity
	offset int64
	length int32
	part   int32 // which of the treats that stand there
}

// A replyReader collects the treats of a reply. The list is an array, or stands under any key of an object, or of an object in
// that. A reply that holds neither a list nor anything that could be treats is none: null, or an object of texts, numbers and empty
// objects. It holds no treat, only where it stands.
type replyReader struct {
	zone         *time.Location
	oldest       time.Time // treats before this are of no concern
	newest       time.Time // what is dated later is no treat
	dec          *json.Decoder
	meter        *meter
	start        int64 // of the JSON in the reply
	lists, items int
	list         int  // the number of the one with treats, from 1 on; 0 as long as there is none
	refused      bool // the reply says that it is no success
	opaque       bool // there is something beside lists that could be treats

	treats   []past
	channels map[string]bool // that its treats are of
	before   int             // treats before oldest
	undated  int             // treats whose date cannot be read
	unusable int             // other things in the list
}

// maxItem bounds one treat of a reply. The socket's frames have at most 1 MiB.
const maxItem = 4 << 20

// A meter refuses to read more than is left.
type meter struct {
	r    io.Reader
	left int
}

var errTooLarge = unreadable("one item of it has more than 4 MiB")

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.r.Read(p)
	m.left -= n
	return n, err
}

// read reads a whole reply. The error is an [ErrHistoryUnreadable] if it is not a list of treats, or that of r.
func (rr *replyReader) read(r io.Reader) error {
	rr.channels = make(map[string]bool)
	rr.meter = &meter{r, maxItem}
	text := bufio.NewReader(rr.meter)
	bom := []byte("\xef\xbb\xbf") // a byte order mark, which some programs put before a text
	if head, err := text.Peek(len(bom)); err == nil && bytes.Equal(head, bom) {
		rr.start = int64(len(bom))
		if _, err := text.Discard(len(bom)); err != nil {
			return err
		}
	}
	rr.dec = json.NewDecoder(text)
	if err := rr.value(0); err != nil {
		return rr.explain(err)
	}
	switch _, err := rr.dec.Token(); {
	case errors.Is(err, io.EOF):
	case err == nil:
		return unreadable("something follows it")
	default:
		return rr.explain(err)
	}
	switch {
	case rr.refused && (rr.lists > 0 || rr.opaque):
		return errReported
	case rr.lists == 0 && rr.opaque:
		return unreadable("there is no list in it")
	case rr.items > 0 && len(rr.treats)+rr.before == 0:
		return unreadable(fmt.Sprintf("none of its %d items is a treat with a date", rr.items))
	}
	return nil
}

// explain leaves out what the reply says.
func (rr *replyReader) explain(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return unreadable("it is cut off")
	case syntax:
		return unreadable("it is not JSON")
	}
	return err
}

// maxWrap is in how many objects the list may stand.
const maxWrap = 2

// value reads the next value, which stands in so many objects.
func (rr *replyReader) value(depth int) error {
	token, err := rr.dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		return rr.array()
	case json.Delim('{'):
		if depth == maxWrap {
			rr.opaque = rr.opaque || rr.dec.More()
			return rr.skip()
		}
		return rr.object(depth + 1)
	}
	rr.opaque = rr.opaque || depth == 0 && token != nil
	return nil
}

// none reports whether the reply that was read says nothing of treats, not even that there are none.
func (rr *replyReader) none() bool { return rr.lists == 0 }

var errReported = unreadable("it reports an error")

func (rr *replyReader) object(depth int) error {
	for rr.dec.More() {
		key, err := rr.dec.Token()
		if err != nil {
			return err
		}
		switch text, _ := key.(string); text {
		case "error", "success":
			if err := rr.verdict(text == "error"); err != nil {
				return err
			}
			continue
		case "sender", "title", "date_created": // a single treat
			rr.opaque = true
		}
		if err := rr.value(depth); err != nil {
			return err
		}
	}
	_, err := rr.dec.Token()
	return err
}

// verdict reads the value of a key that says whether something went wrong.
func (rr *replyReader) verdict(bad bool) error {
	token, err := rr.dec.Token()
	if err != nil {
		return err
	}
	no := token == nil || token == false || token == "" || token == 0.0
	switch {
	case no == bad:
		return nil
	case bad:
		return errReported
	}
	rr.refused = true
	return nil
}

// skip reads to the end of the array or object that has begun.
func (rr *replyReader) skip() error {
	for depth := 1; depth > 0; {
		token, err := rr.dec.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
	return nil
}

func (rr *replyReader) array() error {
	rr.lists++
	var item json.RawMessage
	for rr.dec.More() {
		rr.meter.left = maxItem
		begin := rr.dec.InputOffset()
		if err := rr.dec.Decode(&item); err != nil {
			return err
		}
		end := rr.dec.InputOffset()
		if err := rr.item(item, begin, int32(end-begin)); err != nil { //nolint:gosec // at most maxItem and a buffer
			return err
		}
	}
	rr.meter.left = maxItem
	_, err := rr.dec.Token()
	return err
}

func (rr *replyReader) item(item json.RawMessage, offset int64, length int32) error {
	rr.items++
	treats, err := decodeTreats(item)
	if err != nil {
		rr.unusable++
	}
	for part := range treats {
		d := treats[part].data()
		f := index.Of(&d)
		at := f.When.In(rr.zone)
		switch {
		case f.When.IsZero() || at.After(rr.newest):
			rr.undated++
			continue
		case rr.list == 0:
			rr.list = rr.lists
		case rr.list != rr.lists:
			return unreadable("there are several lists of treats in it")
		}
		if name := channelOf(d.Receiver); name != "" && len(rr.channels) < maxChannels {
			rr.channels[name] = true
		}
		if at.Before(rr.oldest) {
			rr.before++
			continue
		}
		rr.treats = append(rr.treats, past{f, identity{f.Content, at.Unix()}, rr.start + offset, length, int32(part)})
	}
	return nil
}

// body reads a treat of the reply once more.
func (p *past) body(from io.ReaderAt) (treat, error) {
	text := make([]byte, p.length)
	if _, err := from.ReadAt(text, p.offset); err != nil && !errors.Is(err, io.EOF) {
		return treat{}, fmt.Errorf("read a treat of the history again: %w", err)
	}
	treats, _ := decodeTreats(bytes.TrimLeft(text, ", \t\r\n")) // what is no treat beside it was counted
	if int(p.part) >= len(treats) {
		return treat{}, errors.New("read a treat of the history again: it is not there any more")
	}
	return treats[p.part], nil
}
