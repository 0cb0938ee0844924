package chat_test

import (
	"testing"

	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// TestChatStatusDecides wants the same of chats.
func TestChatStatusDecides(t *testing.T) {
	for _, typ := range []string{"discord", "slack"} {
		address, requests := sinktest.RawReceiver(t, nil, "HTTP/1.1 200 OK\r\nContent-Le", false)
		n, err := chatSink(t, typ, "http://"+address, chat.DefaultTimeout, nil).Deliver(t.Context(), sinktest.Plain("a0", 3))
		if n != 3 || err != nil || requests.Load() != 1 {
			t.Errorf("%s: %d, %v, %d requests", typ, n, err, requests.Load())
		}
	}
}
