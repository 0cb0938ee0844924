package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPages bounds how many pages of a history are read at a time, and maxHistory how many treats.
	maxPages   = 500
	maxHistory = 500_000
	// pagesWithin is for how long further pages are asked for.
	pagesWithin = 10 * time.Minute
	// maxOverlap is how far a page is looked through for what the page before held.
	maxOverlap = 4096
)

// pages is what is known of the pages of a reply, as the paginators of frameworks number or link them.
type pages struct {
	next                 string
	after                int // the number of the next one, if that is said
	current, last, total int
	n                    int // that were read or are being read

	seed   maphash.Seed
	texts  []uint64 // of the present page's treats
	before struct { // of the page before that
		texts []uint64
		total int
	}
	named bool            // an item has an id of its own: no other one has the same text
	seen  map[uint64]bool // the pages so far
}

// turn begins another page.
func (p *pages) turn() {
	if p.n++; p.n == 1 {
		p.seed, p.seen = maphash.MakeSeed(), make(map[uint64]bool)
	}
	p.before.texts, p.before.total = p.texts, p.total
	p.next, p.after, p.current, p.last, p.total, p.texts = "", 0, 0, 0, -1, nil
}

// noteLinks takes the links of a reply: each is a URL, or an object with one.
func (p *pages) noteLinks(value json.RawMessage) {
	var links struct {
		Next json.RawMessage `json:"next"`
	}
	if json.Unmarshal(value, &links) != nil || len(links.Next) == 0 {
		return
	}
	var object struct {
		Href string `json:"href"`
	}
	text := ""
	if json.Unmarshal(links.Next, &text) != nil && json.Unmarshal(links.Next, &object) == nil {
		text = object.Href
	}
	if text != "" {
		p.next = text
	}
}

// note takes a text or a number that a reply may say of its pages.
func (p *pages) note(key string, value json.Token) {
	text := ""
	switch value := value.(type) {
	case string:
		text = value
	case float64:
		text = strconv.FormatFloat(value, 'f', -1, 64)
	}
	n, err := strconv.Atoi(text)
	switch strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key)) {
	case "next", "nextpage", "nextpageurl", "nexturl", "nextlink":
		switch {
		case err == nil:
			p.after = n
		case text != "":
			p.next = text
		}
	case "currentpage", "page":
		p.current = n
	case "lastpage", "totalpages", "pages", "pagecount":
		p.last = n
	case "total":
		if err == nil {
			p.total = n
		}
	}
}

// saw notes the text of a treat.
func (p *pages) saw(item json.RawMessage) {
	p.texts = append(p.texts, maphash.Bytes(p.seed, item))
	p.named = p.named || bytes.Contains(item, []byte(`"id"`))
}

// following returns how the page that was read names the next one, and false if there is none.
func (p *pages) following() (next NextPage, ok bool) {
	switch {
	case p.next != "":
		return NextPage{p.next, max(p.current, p.n) + 1}, true
	case p.after > max(p.current, 1):
		return NextPage{"", p.after}, true
	case p.current > 0 && p.current < p.last:
		return NextPage{"", p.current + 1}, true
	}
	return NextPage{}, false
}

// repeated is how many treats at the beginning of the page are those at the end of the one before: more came in meanwhile, and have moved them.
// All of them are if it is a page that was read before.
func (p *pages) repeated() int {
	if len(p.texts) == 0 {
		return 0
	}
	same := maphash.Comparable(p.seed, len(p.texts))
	for _, text := range p.texts {
		same = maphash.Comparable(p.seed, [2]uint64{same, text})
	}
	if p.seen[same] {
		return len(p.texts)
	}
	p.seen[same] = true
	if !p.named && p.total >= 0 && p.total == p.before.total { // two may be alike
		return 0
	}
	for n := min(len(p.texts), len(p.before.texts), maxOverlap); n > 0; n-- {
		if slices.Equal(p.before.texts[len(p.before.texts)-n:], p.texts[:n]) {
			return n
		}
	}
	return 0
}

// readPages reads a reply and the pages that follow it. Pages that cannot be had by their rules are left out; an error of one is that of all.
func (rr *reader) readPages(ctx context.Context, reply Reply) error {
	asked := make(map[NextPage]bool) // by URL, or by number
	began := time.Now()
	for {
		from, before := len(rr.Treats), rr.Older
		if err := rr.read(reply); err != nil {
			return err
		}
		p := &rr.pages
		repeated := p.repeated()
		rr.Treats = slices.Delete(rr.Treats, from, from+repeated)
		next, more := p.following()
		paged, can := reply.(Paged)
		name := next
		if name.URL != "" {
			name.Number = 0
		}
		switch brought := len(rr.Treats) > from; {
		case !more || !can:
			return nil
		case asked[name], !brought && rr.Older == before: // it leads nowhere
			return nil
		case !brought && len(rr.Treats) > 0: // they come newest first, and the rest is older
			return nil
		case p.n >= maxPages || len(rr.Treats) >= maxHistory:
			rr.Cut = "it has too many pages"
			return nil
		case time.Since(began) > pagesWithin:
			rr.Cut = "its pages take too long"
			return nil
		}
		asked[name] = true
		err := paged.Next(ctx, next)
		for _, cut := range []error{ErrPageElsewhere, ErrPagesTooLarge} {
			if errors.Is(err, cut) {
				rr.Cut = cut.Error()
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}
