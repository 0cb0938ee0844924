package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/treat"
)

// Bounds select the treats of a reply.
type Bounds struct {
	// Zone applies to dates without a zone.
	Zone *time.Location
	// Oldest: treats before it are ignored. Newest: items after it are not treats.
	Oldest, Newest time.Time
}

// A List is the content of a reply.
type List struct {
	// Treats are the treats within the bounds, in the order of the reply.
	Treats []Treat
	// Channels are the receivers of all treats, including older ones, in lower case. There are at most [MaxChannels].
	Channels map[string]bool
	Older    int    // treats before [Bounds.Oldest]
	Undated  int    // treats without a readable date
	Unusable int    // other items of the list
	Cut      string // why pages were skipped; empty: none were
	// None is true if the reply has no list, not even an empty one.
	None bool
	// Refused is true if the reply reports a failure and has no list.
	Refused bool
}

// Read reads a reply and the pages after it. It skips pages that it must not read. An error of one page fails the whole
// reply: [ErrUnreadable] if it is not a list of treats, otherwise the error of reading it.
func Read(ctx context.Context, reply Reply, within Bounds) (*List, error) {
	rr := reader{Bounds: within}
	if err := rr.readPages(ctx, reply); err != nil {
		return nil, err
	}
	list := rr.List // without the state of the reader
	list.None = rr.shape.lists == 0
	return &list, nil
}

// A reader collects the treats of a reply. The list is an array, or an object whose keys are ids or days, at the top or
// nested in up to two objects. A reply without a list is empty if it cannot hold treats: null, or an object of strings,
// numbers and empty objects. The reader keeps only the positions of the treats.
type reader struct {
	Bounds
	List
	dec   *json.Decoder
	meter *limitedReader
	start int64 // where the JSON of the current page starts in the reply
	shape shape
	pages pages
}

// A shape describes the structure of a reply so far.
type shape struct {
	lists, items int
	list         int  // the number of the list with treats on the current page, starting with 1; 0: none so far
	opaque       bool // it has something other than lists that could be treats
}

// maxItem bounds one treat of a reply. A frame of the socket has at most 1 MiB.
const maxItem = 4 << 20

// A limitedReader stops reading after a number of bytes.
type limitedReader struct {
	r     io.Reader
	left  int
	total int64 // bytes read
}

var errTooLarge = unreadable("one item of it has more than 4 MiB")

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.r.Read(p)
	l.left -= n
	l.total += int64(n)
	return n, err
}

// read reads one page of a reply. It returns [ErrUnreadable] if the page is not a list of treats, or the error of r.
func (rr *reader) read(r io.Reader) error {
	if rr.meter == nil {
		rr.meter, rr.Channels = &limitedReader{}, make(map[string]bool)
	}
	rr.meter.r, rr.meter.left = r, maxItem
	rr.start, rr.shape.list = rr.meter.total, 0
	rr.pages.begin()
	text := bufio.NewReader(rr.meter)
	bom := []byte("\xef\xbb\xbf") // a byte order mark
	if head, err := text.Peek(len(bom)); err == nil && bytes.Equal(head, bom) {
		rr.start += int64(len(bom))
		if _, err := text.Discard(len(bom)); err != nil {
			return err
		}
	}
	rr.dec = json.NewDecoder(text)
	if err := rr.value("", 0); err != nil {
		return rr.explain(err)
	}
	switch _, err := rr.dec.Token(); {
	case errors.Is(err, io.EOF):
	case err == nil:
		return unreadable("something follows it")
	default:
		return rr.explain(err)
	}
	switch s := &rr.shape; {
	case rr.Refused && (s.lists > 0 || s.opaque):
		return errReported
	case s.lists == 0 && s.opaque:
		return unreadable("there is no list in it")
	case s.items > 0 && len(rr.Treats)+rr.Older == 0:
		return unreadable(fmt.Sprintf("none of its %d items is a treat with a date", s.items))
	}
	return nil
}

// explain replaces errors that would quote the reply.
func (rr *reader) explain(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return unreadable("it is cut off")
	case syntax:
		return unreadable("it is not JSON")
	}
	return err
}

// maxDepth bounds the number of objects around the list.
const maxDepth = 2

// value reads the value of a key at that depth.
func (rr *reader) value(key string, depth int) error {
	token, err := rr.dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		return rr.array()
	case json.Delim('{'):
		return rr.object(depth + 1)
	}
	rr.pages.noteField(key, token)
	rr.shape.opaque = rr.shape.opaque || depth == 0 && token != nil
	return nil
}

var errReported = unreadable("it reports an error")

func (rr *reader) object(depth int) error {
	list := 0 // the number of the list that its members form
	for rr.dec.More() {
		key, err := rr.dec.Token()
		if err != nil {
			return err
		}
		text, _ := key.(string)
		switch {
		case strings.ContainsAny(text, "0123456789"):
			err = rr.keyed(&list)
		case depth > maxDepth:
			rr.shape.opaque = true
			err = rr.skipValue(text)
		default:
			err = rr.member(text, depth)
		}
		if err != nil {
			return err
		}
	}
	_, err := rr.dec.Token()
	return err
}

// member reads the value of a key.
func (rr *reader) member(key string, depth int) error {
	switch key {
	case "error", "success":
		return rr.verdict(key == "error")
	case "links", "_links":
		var value json.RawMessage
		err := rr.dec.Decode(&value)
		if err == nil {
			rr.pages.noteLinks(value)
		}
		return err
	case "sender", "title", "date_created": // a single treat
		rr.shape.opaque = true
	}
	return rr.value(key, depth)
}

// verdict reads the value of a key that reports success or an error.
func (rr *reader) verdict(bad bool) error {
	token, err := rr.dec.Token()
	if err != nil {
		return err
	}
	no := token == nil || token == false || token == 0.0
	switch token := token.(type) {
	case string:
		switch strings.ToLower(strings.TrimSpace(token)) {
		case "", "0", "false", "no", "none", "null":
			no = true
		}
	case json.Delim:
		no = !rr.dec.More()
		if err := rr.skip(); err != nil {
			return err
		}
	}
	switch {
	case no == bad:
		return nil
	case bad:
		return errReported
	}
	rr.Refused = true
	return nil
}

// skipValue skips the value of a key, except for information on pages.
func (rr *reader) skipValue(key string) error {
	token, err := rr.dec.Token()
	switch {
	case err != nil:
		return err
	case token == json.Delim('['), token == json.Delim('{'):
		return rr.skip()
	}
	rr.pages.noteField(key, token)
	return nil
}

// skip reads to the end of the current array or object.
func (rr *reader) skip() error {
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

func (rr *reader) array() error {
	rr.shape.lists++
	list := rr.shape.lists
	var item json.RawMessage
	for rr.dec.More() {
		rr.meter.left = maxItem
		begin := rr.dec.InputOffset()
		if err := rr.dec.Decode(&item); err != nil {
			return err
		}
		end := rr.dec.InputOffset()
		if err := rr.item(item, list, begin, int32(end-begin)); err != nil { //nolint:gosec // at most maxItem and a buffer
			return err
		}
	}
	rr.meter.left = maxItem
	_, err := rr.dec.Token()
	return err
}

// item processes an item of a list at an offset of the page.
func (rr *reader) item(item json.RawMessage, list int, offset int64, length int32) error {
	rr.shape.items++
	treats, err := treat.DecodeItem(item)
	if err != nil {
		rr.Unusable++
	}
	for part := range treats {
		d := treats[part].Data()
		f := fingerprint.Of(&d)
		at := f.When.In(rr.Zone)
		switch {
		case f.When.IsZero() || at.After(rr.Newest):
			rr.Undated++
			continue
		case rr.shape.list == 0:
			rr.shape.list = list
		case rr.shape.list != list:
			return unreadable("there are several lists of treats in it")
		}
		if name := channelOf(d.Receiver); name != "" && len(rr.Channels) < MaxChannels {
			rr.Channels[name] = true
		}
		if at.Before(rr.Oldest) {
			rr.Older++
			continue
		}
		rr.Treats = append(rr.Treats, Treat{f, fingerprint.Identity{Content: f.Content, Second: at.Unix()}, rr.start + offset, length, int32(part)})
		rr.pages.addItem(item)
	}
	return nil
}
