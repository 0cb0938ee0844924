package history

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

func readerOf(oldest time.Time) *reader {
	return &reader{Bounds: Bounds{Zone: time.UTC, Oldest: oldest, Newest: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)}}
}

func TestHistoryShapes(t *testing.T) {
	const a = `{"sender":"A","title":"Pizza","date_created":"2026-07-16 21:00:00"}`
	const b = `{"sender":"B","title":"Tea","message":null,"date_created":"2026-07-16 21:00:05"}`
	for name, tt := range map[string]struct {
		text              string
		treats            int
		undated, unusable int
		fault             string
	}{
		"an array":                    {"[" + a + " ,\n\t" + b + "]", 2, 0, 0, ""},
		"an empty array":              {" [ ] ", 0, 0, 0, ""},
		"under a key":                 {`{"count":2,"items":[` + a + `,` + b + `]}`, 2, 0, 0, ""},
		"under a key of a key":        {`{"error":false,"success":true,"data":{"page":{"n":1},"treats":[` + a + `]},"x":"y"}`, 1, 0, 0, ""},
		"an empty list under a key":   {`{"error":"","treats":[]}`, 0, 0, 0, ""},
		"a byte order mark":           {"\xef\xbb\xbf[" + a + "]", 1, 0, 0, ""},
		"beside another list":         {`{"tags":["x","y"],"treats":[` + a + `]}`, 1, 0, 2, ""},
		"items as strings and arrays": {`["` + strings.ReplaceAll(a, `"`, `\"`) + `",[` + a + `,` + b + `]]`, 3, 0, 0, ""},
		"no date, another, the future": {`[` + a + `,{"title":"x"},{"title":"x","date_created":"yesterday"},
			{"title":"x","date_created":"2031-01-01 00:00:00"}]`, 1, 3, 0, ""},
		"things between":           {`[null,7,"text",{},` + a + `,[],{"title":" "}]`, 1, 0, 6, ""},
		"dates of no use only":     {`[{"sender":"A","title":"Pizza","created":"2026-07-16 21:00:00"}]`, 0, 1, 0, "none of its 1 items"},
		"two lists of treats":      {`{"sent":[` + a + `],"received":[` + b + `]}`, 1, 0, 0, "several lists"},
		"a list too deep":          {`{"a":{"b":{"c":[` + a + `]}}}`, 0, 0, 0, "no list"},
		"an empty list of errors":  {`{"error":[],"data":[` + a + `]}`, 1, 0, 0, ""},
		"an error that is 0":       {`{"error":"0","success":"1","data":[` + a + `]}`, 1, 0, 0, ""},
		"an error that is false":   {`{"error":"false","success":"true","data":[` + a + `]}`, 1, 0, 0, ""},
		"an empty object of them":  {`{"error":{},"data":[` + a + `]}`, 1, 0, 0, ""},
		"a list of errors":         {`{"error":["invalid token"],"data":[]}`, 0, 0, 0, "reports an error"},
		"success is a text":        {`{"success":"false","data":[]}`, 0, 0, 0, "reports an error"},
		"keyed by id":              {`{"17": ` + a + `,"18":` + b + `}`, 2, 0, 0, ""},
		"keyed by id under a key":  {`{"status":"ok","data":{"t17":` + a + `, "t18" : ` + b + `},"n":2}`, 2, 0, 0, ""},
		"keyed by id, deep":        {`{"data":{"treats":{"0":` + a + `,"2":` + b + `}}}`, 2, 0, 0, ""},
		"keyed by day":             {`{"2026-07-16": [ ` + a + ` , ` + b + `],"2026-07-17":[]}`, 2, 0, 0, ""},
		"keyed by day and id":      {`{"data":{"2026-07-16":{"1":` + a + `},"2026-07-17":{"2":` + b + `}}}`, 2, 0, 0, ""},
		"keyed by year, month":     {`{"2026":{"07":{"16":[` + a + `,` + b + `]}}}`, 2, 0, 0, ""},
		"keyed, wrapped":           {`{"17":{"treat":` + a + `},"18":{"id":18,"treat":` + b + `}}`, 2, 0, 0, ""},
		"two keyed lists":          {`{"sent":{"1":` + a + `},"received":{"1":` + b + `}}`, 1, 0, 0, "several lists"},
		"a keyed and another list": {`{"17":` + a + `,"received":[` + b + `]}`, 1, 0, 0, "several lists"},
		"keyed, no treat":          {`{"1":{"x":2}}`, 0, 0, 0, "no list"},
		"wrapped":                  {`[{"treat":` + a + `}, {"treat":` + b + `}]`, 2, 0, 0, ""},
		"wrapped beside others":    {`[{"id":1,"user":{"name":"x"},"treat":` + a + `}]`, 1, 0, 0, ""},
		"wrapped, the date outside": {`[{"sender":"A","date_created":"2026-07-16 21:00:00","treat":{"title":"Pizza"}},
			{"date_created":"2026-07-16 21:00:00","treat":{"title":"Pizza"}}]`, 2, 0, 0, ""},
		"two in one wrap":          {`[{"a":` + a + `,"b":` + b + `},` + a + `]`, 1, 0, 1, ""},
		"a page":                   {`{"current_page":1,"data":[` + a + `],"last_page":1,"links":[{"url":null,"label":"1","active":true}],"next_page_url":null,"total":1}`, 1, 0, 0, ""},
		"a page under a key":       {`{"data":{"current_page":1,"data":[],"links":[{"url":null}],"total":0}}`, 0, 0, 0, ""},
		"an error":                 {`{"error":"invalid token"}`, 0, 0, 0, "reports an error"},
		"an error and a list":      {`{"error":{"code":1},"treats":[]}`, 0, 0, 0, "reports an error"},
		"no success":               {`{"success":false,"treats":[]}`, 0, 0, 0, "reports an error"},
		"an object":                {a, 0, 0, 0, "no list"},
		"null":                     {`null`, 0, 0, 0, ""},
		"null under a key":         {`{"data":null}`, 0, 0, 0, ""},
		"an empty object":          {`{}`, 0, 0, 0, ""},
		"one under a key":          {`{"data":{}}`, 0, 0, 0, ""},
		"one deeper":               {`{"data":{"treats":{}}}`, 0, 0, 0, ""},
		"a message":                {`{"message":"No treats found"}`, 0, 0, 0, ""},
		"no success, and nothing":  {`{"success":false}`, 0, 0, 0, ""},
		"no success, and why":      {`{"success":false,"message":"No treats found","data":null}`, 0, 0, 0, ""},
		"no success, and an error": {`{"success":false,"error":"invalid token"}`, 0, 0, 0, "reports an error"},
		"no success and a treat":   {`{"success":false,"data":` + a + `}`, 0, 0, 0, "reports an error"},
		"a treat under a key":      {`{"data":` + a + `}`, 0, 0, 0, "no list"},
		"a text":                   {`"none"`, 0, 0, 0, "no list"},
		"a number":                 {`0`, 0, 0, 0, "no list"},
		"nothing":                  {``, 0, 0, 0, "cut off"},
		"a web page":               {`<!doctype html><p>login secret-in-the-page`, 0, 0, 0, "not JSON"},
		"cut in an item":           {`[` + a + `,{"sender":"B`, 1, 0, 0, "cut off"},
		"cut between items":        {`[` + a + `,`, 1, 0, 0, "cut off"},
		"cut after an item":        {`{"treats":[` + a, 1, 0, 0, "cut off"},
		"cut after the list":       {`{"treats":[` + a + `]`, 1, 0, 0, "cut off"},
		"a warning after it":       {`[` + a + `]<br>Warning`, 1, 0, 0, "not JSON"},
		"two values":               {`[` + a + `][]`, 1, 0, 0, "something follows"},
		"an item that never ends":  {`[{"title":"` + strings.Repeat("x", 2*maxItem) + `"}]`, 0, 0, 0, "more than 4 MiB"},
		"nesting that never ends":  {`{"a":{"b":{"c":` + strings.Repeat("[", 2*maxItem), 0, 0, 0, "more than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			rr := readerOf(time.Time{})
			err := rr.read(strings.NewReader(tt.text))
			switch {
			case tt.fault == "" && err != nil:
				t.Fatal(err)
			case tt.fault != "" && (!errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), tt.fault)):
				t.Errorf("error %v, want one about %q", err, tt.fault)
			case err != nil && strings.Contains(err.Error(), "secret-in-the-page"):
				t.Errorf("the error quotes the reply: %v", err)
			}
			if len(rr.Treats) != tt.treats || rr.Undated != tt.undated || rr.Unusable != tt.unusable {
				t.Errorf("%d treats, %d undated, %d unusable, want %d, %d, %d", len(rr.Treats), rr.Undated, rr.Unusable, tt.treats, tt.undated, tt.unusable)
			}
			for _, p := range rr.Treats {
				body, err := p.Body(strings.NewReader(tt.text))
				if err != nil {
					t.Fatal(err)
				}
				d := body.Data()
				if again := fingerprint.Of(&d); again.When.IsZero() || again != p.Fingerprint {
					t.Errorf("what stands at %d is another treat", p.offset)
				}
			}
		})
	}
}

func TestHistoryBeforeTheJournal(t *testing.T) {
	rr := readerOf(time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC))
	err := rr.read(strings.NewReader(`[{"title":"a","date_created":"2026-07-16 20:59:59"},{"title":"b","date_created":"2026-07-16 21:00:00"}]`))
	if err != nil || len(rr.Treats) != 1 || rr.Older != 1 {
		t.Errorf("%d treats, %d before, error %v", len(rr.Treats), rr.Older, err)
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"data":{"treats":[{"sender":"A","title":"Pizza","date_created":"2026-07-16 21:00:00"}]},"error":null}`))
	f.Add([]byte("\xef\xbb\xbf[[{\"title\":\"x\",\"date_created\":\"2026-07-16T21:00:00Z\"}],\"{}\"]"))
	f.Add([]byte(`{"a":[],"b":{"c":[1,2,{"title":"x"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		rr := readerOf(time.Time{})
		err := rr.read(bytes.NewReader(text))
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Errorf("error %v", err)
		}
		for _, p := range rr.Treats {
			body, err := p.Body(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			d := body.Data()
			if again := fingerprint.Of(&d); again.When.IsZero() || again != p.Fingerprint {
				t.Error("another treat stands there")
			}
		}
	})
}
