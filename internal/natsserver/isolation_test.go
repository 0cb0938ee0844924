package natsserver_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
)

// ask puts a raw request of an overlay, and returns the answer.
func ask(t *testing.T, nc *nats.Conn, subject, body string) string {
	t.Helper()
	m, err := nc.Request("$JS.API."+subject, []byte(body), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Data)
}

// listen subscribes, and waits until the server knows.
func listen(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// Nothing that an overlay does comes to an inbox of another, and none sees the inboxes of another.
func TestOverlayInboxes(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	publish(t, js, 1)
	victim, _ := dial(t, s)
	all := listen(t, victim, "_INBOX.>")
	one := listen(t, victim, "_INBOX.victim.x")

	r := dialRaw(t, s)
	for _, verb := range apiVerbs() {
		r.pub("$JS.API."+verb, "_INBOX.victim.x", "")
	}
	r.send("SUB _INBOX.victim.x 1\r\n")
	body := `{"stream_name":"TREATS","config":{"durable_name":"into","deliver_subject":"_INBOX.victim.x","ack_policy":"none"}}`
	r.pub("$JS.API.CONSUMER.DURABLE.CREATE.TREATS.into", "_INBOX.own", body)
	r.pub("$JS.API.CONSUMER.CREATE.TREATS.into2", "_INBOX.own", strings.ReplaceAll(strings.ReplaceAll(body, "durable_name", "name"), `"into"`, `"into2"`))
	r.pub("$JS.API.CONSUMER.CREATE.TREATS.into3", "_INBOX.own", `{"stream_name":"TREATS","config":{"name":"into3","Deliver_Subject":"_INBOX.victim.x","ack_policy":"none"}}`)
	r.send("SUB _INBOX.own 2\r\n")
	got, deadline := "", time.Now().Add(45*time.Second)
	for ; strings.Count(got, "HMSG treats.treatstream.acc 1 ") < 3; time.Sleep(10 * time.Millisecond) { // three times the treat, where it was asked for
		if got += r.sync(); time.Now().After(deadline) {
			t.Fatalf("not every consumer pushes to who asked for it: %s", got)
		}
	}
	if err := victim.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*nats.Subscription{all, one} {
		if m, err := sub.NextMsg(time.Millisecond); err == nil {
			t.Errorf("something came to the inbox of another: %s %s", m.Subject, m.Data)
		}
	}
}

// No overlay deletes the durable consumer of another, nor makes it go by itself, and none gets a list of them.
func TestOverlayKeepsConsumers(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	owner, _ := dial(t, s)
	ojs, err := jetstream.New(owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.CreateConsumer(t.Context(), natsserver.Stream, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	other, denied := dial(t, s)
	if text := ask(t, other, "CONSUMER.DELETE.TREATS.mine", ""); !strings.Contains(text, "an overlay cannot delete a durable consumer") || !strings.Contains(text, "consumer_delete_response") {
		t.Errorf("deleted: %s", text)
	}
	for _, threshold := range []string{"1", "1000000"} {
		text := ask(t, other, "CONSUMER.CREATE.TREATS.mine", `{"stream_name":"TREATS","config":{"name":"mine","durable_name":"mine","ack_policy":"explicit","inactive_threshold":`+threshold+`}}`)
		if !strings.Contains(text, `"inactive_threshold":7776000000000000`) {
			t.Errorf("%s", text)
		}
	}
	for _, subject := range []string{"CONSUMER.NAMES.TREATS", "CONSUMER.LIST.TREATS", "CONSUMER.PAUSE.TREATS.mine", "CONSUMER.UNPIN.TREATS.mine", "CONSUMER.RESET.TREATS.mine"} {
		if err := other.Publish("$JS.API."+subject, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-denied:
		case <-time.After(30 * time.Second):
			t.Errorf("%s was not refused", subject)
		}
	}
	if text := ask(t, other, "CONSUMER.CREATE.TREATS.long", `{"config":{"name":"long","description":"`+strings.Repeat("x", 100<<10)+`"}}`); !strings.Contains(text, "the request is longer than") {
		t.Errorf("%.200s", text)
	}
	for _, body := range []string{"{", "[]", `"x"`, "\x00"} {
		if text := ask(t, other, "CONSUMER.CREATE.TREATS.bad", body); !strings.Contains(text, "the request is no JSON of a consumer") {
			t.Errorf("%q: %.200s", body, text)
		}
	}
	// The same one again, as at each start of an overlay.
	if _, err := ojs.CreateConsumer(t.Context(), natsserver.Stream, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Error(err)
	}
	stream, err := js.Stream(t.Context(), natsserver.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if names := stream.CachedInfo().State.Consumers; names != 1 {
		t.Errorf("there are %d consumers", names)
	}
}

// A consumer of an older relay is the same one still, also for a client that does not take one that differs.
func TestOverlayConsumerOfBefore(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	config := jetstream.ConsumerConfig{Durable: "before", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy}
	if _, err := js.CreateConsumer(t.Context(), natsserver.Stream, config); err != nil {
		t.Fatal(err)
	}
	nc, _ := dial(t, s)
	ojs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.CreateConsumer(t.Context(), natsserver.Stream, config); err != nil {
		t.Error(err)
	}
}

// A consumer that pushes follows its overlay to the next connection, and accounts of connections that have ended are used again.
func TestOverlayPushFollows(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	first, _ := dial(t, s)
	sub := listen(t, first, "_INBOX.of.it")
	body := `{"stream_name":"TREATS","config":{"durable_name":"push","deliver_subject":"_INBOX.of.it","deliver_policy":"new","ack_policy":"none"}}`
	if text := ask(t, first, "CONSUMER.DURABLE.CREATE.TREATS.push", body); !strings.Contains(text, `"deliver_subject":"_INBOX.of.it"`) {
		t.Fatal(text)
	}
	publish(t, js, 1)
	if m, err := sub.NextMsg(30 * time.Second); err != nil || !bytes.Equal(m.Data, []byte("hello")) {
		t.Fatal(err)
	}
	first.Close()
	// An overlay that listens to all inboxes comes before.
	other, _ := dial(t, s)
	nosy := listen(t, other, "_INBOX.>")
	publish(t, js, 2)
	again, _ := dial(t, s)
	sub = listen(t, again, "_INBOX.of.it")
	if m, err := sub.NextMsg(30 * time.Second); err != nil || m.Header.Get(natsserver.NumberHeader) != "2" {
		t.Fatalf("what came while it was away: %v", err)
	}
	if text := ask(t, again, "CONSUMER.INFO.TREATS.push", ""); !strings.Contains(text, `"deliver_subject":"_INBOX.of.it"`) {
		t.Error(text)
	}
	for range 50 {
		nc, err := nats.Connect(s.URL(), nats.UserInfo("overlay", password))
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	if n := s.OverlayAccounts(); n > 10 {
		t.Errorf("%d accounts were made for three connections at a time", n)
	}
	for {
		m, err := nosy.NextMsg(time.Millisecond)
		if err != nil {
			break
		}
		t.Errorf("another overlay has got %s", fmt.Sprint(m.Subject, " ", string(m.Data)))
	}
}
