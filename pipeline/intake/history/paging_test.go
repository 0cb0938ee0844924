package history

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A book is a history in pages.
type book struct {
	*strings.Reader
	text  strings.Builder
	page  func(n int) string // the n-th, from 1 on
	asked []NextPage
}

func (b *book) Close() error { return nil }

func (b *book) Next(_ context.Context, p NextPage) error {
	b.asked = append(b.asked, p)
	n := p.Number
	if p.URL != "" {
		if strings.Contains(p.URL, "elsewhere") {
			return ErrPageElsewhere
		}
		_, number, _ := strings.Cut(p.URL, "page=")
		n, _ = strconv.Atoi(number)
	}
	b.open(n)
	return nil
}

func (b *book) open(n int) {
	at := b.text.Len()
	b.text.WriteString(b.page(n))
	b.Reader = strings.NewReader(b.text.String())
	_, _ = b.Seek(int64(at), 0)
}

// leaf is the n-th treat.
func leaf(n int) string {
	return fmt.Sprintf(`{"sender":"A","title":"t%d","date_created":%q}`, n, time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC).Add(-time.Duration(n)*time.Minute).Format(time.DateTime))
}

// leaves are the treats from one to before another, as a list.
func leaves(from, to int) string {
	var all []string
	for n := from; n < to; n++ {
		all = append(all, leaf(n))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestHistoryPages(t *testing.T) {
	next := func(n, last int, field, format string) string {
		if n == last {
			return field + `:null`
		}
		return field + fmt.Sprintf(format, n+1)
	}
	for name, tt := range map[string]struct {
		page   func(n int) string
		treats int
		asked  int
		cut    string
		fault  string
		oldest time.Time
	}{
		"Laravel": {page: func(n int) string {
			return fmt.Sprintf(`{"current_page":%d,"data":%s,"last_page":3,"links":[{"url":null,"label":"x","active":false}],%s,"total":7}`,
				n, leaves(n*3, min(n*3+3, 10)), next(n, 3, `"next_page_url"`, `:"https://example.com/api?page=%d"`))
		}, treats: 7, asked: 2},
		"of resources": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"links":{"first":"x","prev":null,%s},"meta":{"current_page":%d,"last_page":2}}`,
				leaves(n*2, n*2+2), next(n, 2, `"next"`, `:"?page=%d"`), n)
		}, treats: 4, asked: 1},
		"by numbers": {page: func(n int) string {
			return fmt.Sprintf(`{"current_page":"%d","last_page":"3","treats":%s}`, n, leaves(n*2, n*2+2))
		}, treats: 6, asked: 2},
		"under a key": {page: func(n int) string {
			return fmt.Sprintf(`{"success":true,"data":{"current_page":%d,"last_page":2,"data":%s}}`, n, leaves(n, n+1))
		}, treats: 2, asked: 1},
		"counted in all": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"meta":{"pagination":{"total":6,"count":2,"per_page":2,"current_page":%d,"total_pages":3}}}`, leaves(n*2, n*2+2), n)
		}, treats: 6, asked: 2},
		"pages of pages": {page: func(n int) string {
			return fmt.Sprintf(`{"page":"%d","pages":"3","total":6,"items":%s}`, n, leaves(n*2, n*2+2))
		}, treats: 6, asked: 2},
		"the number of the next": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,%s}`, leaves(n*2, n*2+2), next(n, 3, `"next_page"`, `:%d`))
		}, treats: 6, asked: 2},
		"other letters": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"currentPage":%d,"lastPage":3,%s}`, leaves(n*2, n*2+2), n, next(n, 3, `"nextPageUrl"`, `:"?page=%d"`))
		}, treats: 6, asked: 2},
		"of HAL": {page: func(n int) string {
			return fmt.Sprintf(`{"_embedded":{"treats":%s},"_links":{"self":{"href":"/"},%s}}`, leaves(n*2, n*2+2), next(n, 3, `"next"`, `:{"href":"?page=%d"}`))
		}, treats: 6, asked: 2},
		"of JSON:API": {page: func(n int) string {
			return fmt.Sprintf(`{"links":{%s},"data":%s}`, next(n, 3, `"next"`, `:{"href":"?page=%d","meta":{}}`), leaves(n*2, n*2+2))
		}, treats: 6, asked: 2},
		"backwards": {page: func(n int) string {
			return fmt.Sprintf(`{"page":%d,"next_page":%d,"data":%s}`, n, n-1, leaves(n*2, n*2+2))
		}, treats: 2},
		"not of pages": {page: func(n int) string {
			return fmt.Sprintf(`{"page":null,"pages":true,"next":false,"next_page":{"a":1},"total":"many","data":%s}`, leaves(n*2, n*2+2))
		}, treats: 2},
		"elsewhere": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"https://elsewhere.example/?page=%d"}`, leaves(n, n+1), n+1)
		}, treats: 1, asked: 1, cut: "another host"},
		"without end": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"?page=%d"}`, leaves(n, n+1), n+1)
		}, treats: maxPages, asked: maxPages - 1, cut: "too many pages"},
		"in a circle": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"?page=%d"}`, leaves(n, n+1), n%3+1)
		}, treats: 3, asked: 3},
		"always the same": {page: func(int) string {
			return fmt.Sprintf(`{"current_page":1,"last_page":3,"total":2,"data":%s}`, leaves(0, 2))
		}, treats: 2, asked: 1},
		"an empty one": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"?page=%d"}`, leaves(0, max(2-n, 0)), n+1)
		}, treats: 1, asked: 1},
		"one treat came in between": {page: func(n int) string { // so that all others are one place further
			return fmt.Sprintf(`{"current_page":%d,"last_page":2,"total":%d,"data":%s}`, n, 9+n, leaves(n*5-n, n*5+5-n))
		}, treats: 9, asked: 1},
		"two alike, of two pages": {page: func(n int) string {
			return fmt.Sprintf(`{"current_page":%d,"last_page":2,"total":4,"data":[%s,%s]}`, n, leaf(n), leaf(3-n))
		}, treats: 4, asked: 1},
		"one came, and one is over": {page: func(n int) string {
			return fmt.Sprintf(`{"current_page":%d,"last_page":2,"total":4,"data":[{"id":%d,"title":"x","date_created":"2026-07-16 21:00:00"},{"id":%d,"title":"x","date_created":"2026-07-16 21:00:00"}]}`, n, n, n+1)
		}, treats: 3, asked: 1},
		"older than what counts": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"?page=%d"}`, leaves(n*2, n*2+2), n+1)
		}, treats: 4, asked: 2, oldest: time.Date(2026, 7, 16, 20, 55, 0, 0, time.UTC)},
		"a broken one": {page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"?page=%d"`, leaves(n, n+1), n+1) + "}"[n-1:]
		}, treats: 2, asked: 1, fault: "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &book{page: tt.page}
			b.open(1)
			rr := readerOf(tt.oldest)
			switch err := rr.readPages(t.Context(), b); {
			case tt.fault == "" && err != nil:
				t.Fatal(err)
			case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
				t.Errorf("error %v, want one about %q", err, tt.fault)
			}
			if len(rr.Treats) != tt.treats || len(b.asked) != tt.asked || rr.Unusable != 0 {
				t.Errorf("%d treats of %d more pages, %d unusable, want %d of %d", len(rr.Treats), len(b.asked), rr.Unusable, tt.treats, tt.asked)
			}
			if tt.cut == "" && rr.Cut != "" || !strings.Contains(rr.Cut, tt.cut) {
				t.Errorf("pages are left out as %q, want %q", rr.Cut, tt.cut)
			}
			for _, p := range rr.Treats {
				body, err := p.Body(b)
				if err != nil {
					t.Fatal(err)
				}
				if d := body.Data(); d.DateCreated == nil || *d.DateCreated != time.Unix(p.Same.Second, 0).UTC().Format(time.DateTime) {
					t.Errorf("what stands at %d is another treat", p.offset)
				}
			}
		})
	}
}

// slowBook takes a minute for a page.
type slowBook struct{ book }

func (b *slowBook) Next(ctx context.Context, p NextPage) error {
	time.Sleep(time.Minute)
	return b.book.Next(ctx, p)
}

// Pages are read for ten minutes. What they held by then counts, and the cut is said.
func TestHistoryPagesTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slowBook{book{page: func(n int) string {
			return fmt.Sprintf(`{"data":%s,"next_page_url":"?page=%d"}`, leaves(n, n+1), n+1)
		}}}
		b.open(1)
		rr := readerOf(time.Time{})
		if err := rr.readPages(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(rr.Treats) != 12 || rr.Cut != "its pages take too long" {
			t.Errorf("%d treats, cut as %q", len(rr.Treats), rr.Cut)
		}
	})
}
