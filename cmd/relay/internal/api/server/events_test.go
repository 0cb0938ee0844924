package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/api/server"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A stream says when it cannot begin where the client stopped.
func TestWhereAStreamBegins(t *testing.T) {
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: t.TempDir(), SegmentSize: 1 << 10, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	stack.Run(t)
	r := &rig{T: t, journal: stack.Journal}
	for n := range 100 {
		e := stacktest.Event("a", pipeline.OriginLive, evening, n)
		_, err := r.journal.Put(t.Context(), stacktest.Entry(t, &e))
		r.must(err)
	}
	r.must(stack.Log.DropBefore(t.Context(), time.Now().Add(time.Hour)))
	first, next := stack.Journal.Bounds()
	if first < 3 {
		t.Fatalf("the journal begins at %d: retention has dropped nothing", first)
	}
	hs := httptest.NewServer(server.New(server.Config{
		Journal: func(context.Context) (*journal.Journal, error) { return stack.Journal, nil },
		Status:  func(context.Context) api.Status { return api.Status{} },
		Pages:   server.Pages{Accounts: func() []string { return []string{"a", "b"} }},
	}))
	t.Cleanup(hs.Close)
	open := func(query, after string) *http.Response {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, hs.URL+api.Root+"/events"+query, nil)
		r.must(err)
		req.Header.Set("Last-Event-ID", after)
		res, err := http.DefaultClient.Do(req)
		r.must(err)
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	for after, want := range map[uint64]api.Position{
		1:          {Number: first - 1, Missed: first - 2},
		first - 1:  {Number: first - 1},
		next - 1:   {Number: next - 1},
		next + 100: {Number: next - 1, Ahead: true},
	} {
		res := open("", strconv.FormatUint(after, 10))
		if res.Header.Get("X-Accel-Buffering") != "no" {
			t.Error("nginx buffers the stream")
		}
		var got api.Position
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				r.must(json.Unmarshal([]byte(data), &got))
				break
			}
		}
		if got != want {
			t.Errorf("after %d the stream begins at %+v, want %+v", after, got, want)
		}
		_ = res.Body.Close()
	}
	// What no event can match is an error: the stream would stay empty for ever.
	for query, status := range map[string]int{"?account=typo": 404, "?account=a&account=typo": 404, "?type=typo": 400, "?account=a&type=" + pipeline.DigestType: 200} {
		if res := open(query, "1"); res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", query, res.StatusCode, status)
		}
	}
}
