package jetstream

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/natstest"
)

// The server takes away the subscriptions for answers, and gives them back: the connection recovers.
func TestInboxDenied(t *testing.T) {
	config := filepath.Join(t.TempDir(), "nats.conf")
	configure := func(deny string) {
		text := fmt.Sprintf("authorization {users = [{user: relay, password: secret-word, permissions: {publish: \">\", subscribe: {allow: \">\"%s}}}]}\n", deny)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("")
	p := natstest.StartProgram(t, natsServer, "-c", config)
	l := openOn(t, dial(t, "nats://relay:secret-word@"+p.Addr()))
	appendAll(t, l, entries(0, 5))
	configure(`, deny: "_INBOX.>"`)
	p.Reload()
	var failed error
	eventually(t, "an append fails", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, failed = l.Append(ctx, entries(5, 6))
		return failed != nil
	})
	if strings.Contains(failed.Error(), "secret-word") {
		t.Errorf("error %v", failed)
	}
	time.Sleep(3 * time.Second) // as long as it lasts
	configure("")
	p.Reload()
	appendAll(t, l, entries(5, 20))
	wantEqual(t, "ids", ids(readAll(t, l, 1)), wantIDs(0, 20))
	if strings.Contains(l.lines.String(), "secret-word") {
		t.Error("the log has the password")
	}
}

// What the user may not do is said, not waited for without end.
func TestPermissions(t *testing.T) {
	config := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(config, []byte(`authorization {users = [{user: relay, password: secret-word, permissions: {publish: "none", subscribe: ">"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := natstest.StartProgram(t, natsServer, "-c", config)
	nc := dial(t, "nats://relay:secret-word@"+p.Addr(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	_, _, err := Open(t.Context(), Options{Conn: nc})
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "permissions violation") || !strings.Contains(err.Error(), p.Addr()) || strings.Contains(err.Error(), "secret-word") {
		t.Errorf("error %v", err)
	}
}
