package chat_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// TestChatRefusesAll has a service refuse whatever it gets, and wants few requests for 50 treats, each refused with the same code. What is
// the sink's fault shows at the first request.
func TestChatRefusesAll(t *testing.T) {
	const form = `{"message":"Invalid Form Body","code":50035,"errors":{%s}}`
	for _, c := range []struct {
		typ    string
		status int
		body   string
		want   string
		code   string // none: the webhook is gone
	}{
		{"discord", 400, `{"message":"Webhooks posted to forum channels must have a thread_name or thread_id","code":220001}`, "unavailable", "400 220001"},
		{"discord", 400, `{"message":"Thread is archived","code":50083}`, "unavailable", "400 50083"},
		{"discord", 403, `{"message":"Thread is locked","code":160005}`, "unavailable", "403 160005"},
		{"discord", 400, `{"message":"A tag is required to create a forum post in this channel","code":40067}`, "unavailable", "400 40067"},
		{"discord", 400, fmt.Sprintf(form, `"username":{"_errors":[{"code":"USERNAME_INVALID_CONTAINS","message":"Username cannot contain \"wumpus\""}]}`), "unavailable", "400 50035 username"},
		{"discord", 400, fmt.Sprintf(form, `"embeds":{"3":{"description":{"_errors":[{"code":"BASE_TYPE_MAX_LENGTH"}]}},"1":{"description":{"_errors":[{"code":"X"}]}}}`), "permanent", "400 50035 embeds.*.description"},
		{"discord", 400, `{"message":"Message was blocked by automatic moderation","code":200000}`, "permanent", "400 200000"},
		{"slack", 400, "invalid_payload", "permanent", "400 invalid_payload"},
		{"slack", 400, "invalid_blocks", "permanent", "400 invalid_blocks"},
		{"slack", 400, "no_text\n", "permanent", "400 no_text"},
		{"slack", 404, "user_not_found", "gone", ""},
		{"slack", 400, "a word nobody knows", "permanent", "400"},
	} {
		t.Run(c.typ+" "+c.body, func(t *testing.T) {
			var requests atomic.Int32
			url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			sink, records := chatSink(t, c.typ, url, chat.DefaultTimeout, nil), sinktest.Plain("a0", 50)
			for len(records) > 0 {
				n, err := sink.Deliver(t.Context(), records)
				if got := chatVerdict(err); got != c.want || n != 0 || pipeline.RefusalCode(err) != c.code {
					t.Fatalf("%s with code %q, want %s with %q: %d, %v", got, pipeline.RefusalCode(err), c.want, c.code, n, err)
				}
				if c.want != "permanent" {
					break // The lane waits.
				}
				records = records[1:]
			}
			want := int32(1)
			if c.want == "permanent" {
				want = 50 + 3 // To find out which of the first ten it is.
			}
			if got := requests.Load(); got != want {
				t.Errorf("%d requests, want %d", got, want)
			}
		})
	}
}

// TestChatDoubtsNoLonger checks that messages are whole again as soon as one record was accepted.
func TestChatDoubtsNoLonger(t *testing.T) {
	fake := &sinktest.FakeSlack{Refuse: func(text string) bool { return strings.Contains(text, "treat 0") }}
	sink, records := sinktest.OpenChat(t, sinktest.SlackConfig(t, sinktest.Receiver(t, fake.ServeHTTP)), nil), sinktest.Plain("a0", 21)
	var took []int
	for len(records) > 0 {
		n, err := sink.Deliver(t.Context(), records)
		if (n == 0) != pipeline.IsPermanent(err) {
			t.Fatalf("Deliver: %d, %v", n, err)
		}
		took = append(took, n)
		records = records[max(n, 1):]
	}
	if got := fmt.Sprint(took); got != "[0 1 10 9]" {
		t.Errorf("records a message: %s", got)
	}
	fake.Report(t)
}
