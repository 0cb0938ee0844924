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
	// maxPages bounds the pages of a history that are read, and maxHistory the treats.
	maxPages   = 500
	maxHistory = 500_000
	// pagesWithin is how long further pages are requested.
	pagesWithin = 10 * time.Minute
	// maxOverlap bounds the search for treats of the previous page in a page.
	maxOverlap = 4096
)

// pages tracks the pages of a reply. It understands the numbers and links of common pagination libraries.
type pages struct {
	next                 string
	after                int // the number of the next page, if given
	current, last, total int
	n                    int // number of pages read, including the current one

	seed   maphash.Seed
	texts  []uint64 // hashes of the treats of the current page
	before struct { // of the previous page
		texts []uint64
		total int
	}
	named bool            // items have ids, so that no two have the same text
	seen  map[uint64]bool // hashes of the pages so far
}

// begin starts another page.
func (p *pages) begin() {
	if p.n++; p.n == 1 {
		p.seed, p.seen = maphash.MakeSeed(), make(map[uint64]bool)
	}
	p.before.texts, p.before.total = p.texts, p.total
	p.next, p.after, p.current, p.last, p.total, p.texts = "", 0, 0, 0, -1, nil
}

// noteLinks processes the links of a reply: each is a URL, or an object with one.
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

// noteField processes a string or number of a reply that may describe its pages.
func (p *pages) noteField(key string, value json.Token) {
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

// addItem records the text of a treat.
func (p *pages) addItem(item json.RawMessage) {
	p.texts = append(p.texts, maphash.Bytes(p.seed, item))
	p.named = p.named || bytes.Contains(item, []byte(`"id"`))
}

// following returns the next page that the current one names. It reports false if there is none.
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

// repeated returns how many treats at the start of the page repeat the end of the previous one, which happens when new
// treats push older ones down. If the whole page was read before, it returns all of them.
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
	if !p.named && p.total >= 0 && p.total == p.before.total { // equal texts can be different treats
		return 0
	}
	for n := min(len(p.texts), len(p.before.texts), maxOverlap); n > 0; n-- {
		if slices.Equal(p.before.texts[len(p.before.texts)-n:], p.texts[:n]) {
			return n
		}
	}
	return 0
}

// readPages reads a reply and the pages after it. It skips pages that it must not read. An error of one page fails the
// whole reply.
func (rr *reader) readPages(ctx context.Context, reply Reply) error {
	asked := make(map[NextPage]bool) // by URL or number
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
		case asked[name], !brought && rr.Older == before: // the link leads nowhere
			return nil
		case !brought && len(rr.Treats) > 0: // the newest come first, and the rest is older
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
