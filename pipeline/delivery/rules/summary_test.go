package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// However many treats there are: a digest is small, and making it takes little memory.
func TestDigestIsBounded(t *testing.T) {
	s := newSummary(journal.BackfillBatch{Account: "acc", Provider: "treatstream"})
	const n = 120_000
	at := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	long := strings.Repeat("\u0001𝄞", 4000)
	for i := range n {
		sender, title := fmt.Sprint("sender ", i, long[:400]), fmt.Sprint("title ", i, long)
		if i%3 == 0 {
			title = "Pizza"
		}
		s.add(&pipeline.Event{Time: at.Add(-time.Duration(i) * time.Second), Data: pipeline.Data{Sender: &sender, Title: &title}})
	}
	d := pipeline.Digest{Data: s.sum()}
	line, err := d.Line()
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Data; got.Count != n || got.Senders != digestSenders || got.Top[0] != (pipeline.TitleCount{Title: "Pizza", Count: n / 3}) || len(got.Top) != 10 || len(got.From) != 10 ||
		!got.Last.Equal(at) || !got.First.Equal(at.Add(-(n-1)*time.Second)) {
		t.Errorf("%+v", got)
	}
	if len(line) > 32<<10 || len(s.senders) > digestSenders || len(s.titles) > digestTitles {
		t.Errorf("%d bytes, %d senders, %d titles", len(line), len(s.senders), len(s.titles))
	}
	for _, top := range d.Data.Top[1:] {
		if count := len([]rune(top.Title)); count != digestText || !strings.HasSuffix(top.Title, "…") {
			t.Errorf("a title of %d characters: %q", count, top.Title)
		}
	}
	if got := shorten(strings.Repeat("é", digestText), digestText); got != strings.Repeat("é", digestText) {
		t.Errorf("a text that fits is cut: %q", got)
	}
}
