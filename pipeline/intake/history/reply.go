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

// Bounds say which treats of a reply count.
type Bounds struct {
	// Zone is that of dates that name none.
	Zone *time.Location
	// Oldest is the time before which treats are of no concern, and Newest that after which what is dated is no treat.
	Oldest, Newest time.Time
}

// A List is what a reply was found to hold.
type List struct {
	// Treats are those within the bounds, in the order of the reply.
	Treats []Treat
	// Channels are the receivers of the treats of the reply, older treats included, in lower case: at most [MaxChannels].
	Channels map[string]bool
	Older    int    // treats before [Bounds].Oldest
	Undated  int    // treats whose date cannot be read
	Unusable int    // other things in the list
	Cut      string // why pages were left out; empty: none were
	// None says that the reply has no list at all, not even an empty one.
	None bool
	// Refused says that the reply reports a failure, beside having no list.
	Refused bool
}

// Read reads a reply and the pages that follow it. Pages that cannot be had by their rules are left out; an error of one is that of all. It is an
// [ErrUnreadable] if the reply is not a list of treats, or that of the reply.
func Read(ctx context.Context, reply Reply, within Bounds) (*List, error) {
	rr := reader{Bounds: within}
	if err := rr.readPages(ctx, reply); err != nil {
		return nil, err
	}
	list := rr.List // without what was needed to read it
	list.None = rr.shape.lists == 0
	return &list, nil
}

// A reader collects the treats of a reply. The list is an array, or the members of an object whose keys are ids or days, or stands under any
// key of an object, or of an object in that. A reply that holds neither a list nor anything that could be treats is none: null, or an object of texts,
// numbers and empty objects. It holds no treat, only where it stands.
type reader struct {
	Bounds
	List
	dec   *json.Decoder
	meter *meter
	start int64 // of the JSON of the present page in the reply
	shape shape
	pages pages
}

// A shape is what a reply was found to consist of so far.
type shape struct {
	lists, items int
	list         int  // the number of the one with the treats of the present page, from 1 on; 0 as long as there is none
	opaque       bool // there is something beside lists that could be treats
}

// maxItem bounds one treat of a reply. The socket's frames have at most 1 MiB.
const maxItem = 4 << 20

// A meter refuses to read more than is left.
type meter struct {
	r     io.Reader
	left  int
	total int64 // that was read
}

var errTooLarge = unreadable("one item of it has more than 4 MiB")

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.r.Read(p)
	m.left -= n
	m.total += int64(n)
	return n, err
}

// read reads a whole page of a reply. The error is an [ErrUnreadable] if it is not a list of treats, or that of r.
func (rr *reader) read(r io.Reader) error {
	if rr.meter == nil {
		rr.meter, rr.Channels = &meter{}, make(map[string]bool)
	}
	rr.meter.r, rr.meter.left = r, maxItem
	rr.start, rr.shape.list = rr.meter.total, 0
	rr.pages.turn()
	text := bufio.NewReader(rr.meter)
	bom := []byte("\xef\xbb\xbf") // a byte order mark, which some programs put before a text
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

// explain leaves out what the reply says.
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

// maxWrap is in how many objects the list may stand.
const maxWrap = 2

// value reads the next value, which stands under a key in so many objects.
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
	rr.pages.note(key, token)
	rr.shape.opaque = rr.shape.opaque || depth == 0 && token != nil
	return nil
}

var errReported = unreadable("it reports an error")

func (rr *reader) object(depth int) error {
	list := 0 // the number of that of its members
	for rr.dec.More() {
		key, err := rr.dec.Token()
		if err != nil {
			return err
		}
		text, _ := key.(string)
		switch {
		case strings.ContainsAny(text, "0123456789"):
			err = rr.keyed(&list)
		case depth > maxWrap:
			rr.shape.opaque = true
			err = rr.leaveOut(text)
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

// verdict reads the value of a key that says whether something went wrong.
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

// leaveOut reads the value of a key, of which nothing is used but what it says of pages.
func (rr *reader) leaveOut(key string) error {
	token, err := rr.dec.Token()
	switch {
	case err != nil:
		return err
	case token == json.Delim('['), token == json.Delim('{'):
		return rr.skip()
	}
	rr.pages.note(key, token)
	return nil
}

// skip reads to the end of the array or object that has begun.
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

// item takes what stands in a list, which has that number, at a place of the page.
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
		rr.pages.saw(item)
	}
	return nil
}
