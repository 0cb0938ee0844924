package sinktest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Record makes the event number i of an account.
func Record(account string, i int, message string) pipeline.Record {
	sender, title := "GenerousViewer", "Pizza"
	e := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, ID: fmt.Sprintf("trt_%s_%04d", account, i), Source: "/treatstream/" + account,
		Type: pipeline.EventType, Time: time.Unix(1_780_000_000, 0).UTC(), DataContentType: pipeline.DataContentType,
		Origin: pipeline.OriginLive,
		Data:   pipeline.Data{Account: account, Provider: "treatstream", Sender: &sender, Title: &title, Message: &message},
	}
	line, err := e.Line()
	if err != nil {
		panic(err)
	}
	return pipeline.Record{
		Seq: uint64(i + 1), ID: e.ID, Account: account, Provider: "treatstream", Origin: e.Origin, Line: line,
	}
}

// DigestRecord makes a digest of an account, whose most frequent title is its own id, by which a chat tells it from treats.
func DigestRecord(account string) pipeline.Record {
	at := time.Date(2026, 11, 21, 20, 40, 59, 0, time.UTC)
	d := pipeline.Digest{
		SpecVersion: pipeline.SpecVersion, ID: "dig_06H17H304PWYYZMPWRM8WDFNJ4", Source: "/treatstream/" + account, Type: pipeline.DigestType,
		Time: at, DataContentType: pipeline.DataContentType, Origin: pipeline.OriginBackfill,
		Data: pipeline.DigestData{
			Account: account, Provider: "treatstream", Count: 12, First: at.Add(-39 * time.Minute), Last: at.Add(-time.Minute), Senders: 2, Anonymous: 1,
			Top: []pipeline.TitleCount{{Title: "dig_06H17H304PWYYZMPWRM8WDFNJ4", Count: 5}, {Title: "Taco", Count: 3}}, From: []string{"Ann", "Bob"},
		},
	}
	return RecordOfDigest(d)
}

// RecordOfDigest is the record of a digest.
func RecordOfDigest(d pipeline.Digest) pipeline.Record {
	line, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return pipeline.Record{
		Seq: 3, ID: d.ID, Account: d.Data.Account, Provider: d.Data.Provider, Origin: d.Origin, Type: d.Type, Line: line,
	}
}

// Plain makes n records of an account with short texts.
func Plain(account string, n int) []pipeline.Record {
	var all []pipeline.Record
	for i := range n {
		all = append(all, Record(account, i, fmt.Sprintf("treat %d", i)))
	}
	return all
}

// LongRecords makes records too long for the buffer of a pipe; their ids follow those of a few plain ones.
func LongRecords(account string, n int) []pipeline.Record {
	var all []pipeline.Record
	for i := range n {
		all = append(all, Record(account, 500+i, strings.Repeat("pizza ", 50_000)))
	}
	return all
}

// UnusualRecords makes 600 records, some of them with text as viewers write it, such as emoji, markup and control characters.
func UnusualRecords(account string) []pipeline.Record {
	messages := []string{
		"enjoy!", "", "žluťoučký kůň", "日本語のピザ", "🍕🍕🍕 👩‍👩‍👧‍👦", "a\u2028b\u2029c", "tab\tline\nbreak\r\n", `"quoted" \back\`,
		"<script>alert(1)</script> & co", "\u0000\u001b[31m", "\u202egnp.exe", strings.Repeat("long ", 40_000), "{\"id\":\"x\"}",
	}
	var all []pipeline.Record
	for i := range 600 {
		message := fmt.Sprintf("treat %d", i)
		if i%40 < len(messages) && i < 120 {
			message = messages[i%40]
		}
		all = append(all, Record(account, i, message))
	}
	return all
}
