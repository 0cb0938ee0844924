package natsserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
)

// dial connects as an overlay, and hands on what is refused to it.
func dial(t *testing.T, s *natsserver.Server) (*nats.Conn, chan error) {
	t.Helper()
	denied := make(chan error, 4096)
	nc, err := nats.Connect(s.URL(), nats.UserInfo("overlay", password), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, denied
}

// Overlay credentials open the stream for reading, and nothing else.
func TestOverlayPermissions(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	if nc, err := nats.Connect(s.URL()); err == nil {
		nc.Close()
		t.Error("the server takes a client without credentials")
	}
	nc, denied := dial(t, s)
	mustDeny := func(what string) {
		t.Helper()
		_ = nc.Flush()
		select {
		case <-denied:
		case <-time.After(30 * time.Second):
			t.Errorf("%s was not refused", what)
		}
	}
	for _, subject := range []string{
		"treats.treatstream.acc", "relay.journal.acc", "$JS.API.STREAM.DELETE.TREATS", "$JS.API.STREAM.PURGE.TREATS",
		"$JS.API.STREAM.UPDATE.TREATS", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.MSG.DELETE.TREATS", "$JS.API.STREAM.MSG.GET.OTHER",
		"_INBOX.of.another", "_RELAY.x", "$SYS.REQ.SERVER.PING",
	} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		mustDeny("publishing to " + subject)
	}
	for _, subject := range []string{">", "relay.>", "_RELAY.>", "$SYS.>", "$JS.>", "_R_.>"} {
		if _, err := nc.SubscribeSync(subject); err == nil {
			mustDeny("subscribing to " + subject)
		}
	}

	// What it is for: a plain subscription and consumers, by each of the ways that clients have.
	plain, err := nc.SubscribeSync("treats.>")
	if err != nil {
		t.Fatal(err)
	}
	ojs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.AccountInfo(t.Context()); err != nil {
		t.Errorf("account info: %v", err)
	}
	stream, err := ojs.Stream(t.Context(), natsserver.Stream)
	if err != nil {
		t.Fatal(err)
	}
	cons, err := stream.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 1)
	if m, err := plain.NextMsg(30 * time.Second); err != nil || !bytes.Equal(m.Data, []byte("hello")) || m.Subject != "treats.treatstream.acc" {
		t.Errorf("plain subscription: %+v, %v", m, err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(30 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject() != "treats.treatstream.acc" || !strings.HasPrefix(m.Reply(), "$JS.ACK.TREATS.mine.") {
		t.Errorf("a message came on %s with an acknowledgement to %s", m.Subject(), m.Reply())
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	ordered, err := ojs.OrderedConsumer(t.Context(), natsserver.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ordered.Next(jetstream.FetchMaxWait(30 * time.Second)); err != nil {
		t.Errorf("ordered consumer: %v", err)
	}
	old, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]nats.SubOpt{
		"push": {nats.DeliverAll()}, "push, ordered": {nats.OrderedConsumer()}, "push, flow control": {nats.EnableFlowControl(), nats.IdleHeartbeat(time.Second), nats.ManualAck()},
	} {
		sub, err := old.SubscribeSync("treats.>", append(opts, nats.BindStream(natsserver.Stream))...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m, err := sub.NextMsg(30 * time.Second); err != nil || string(m.Data) != "hello" {
			t.Errorf("%s: %v", name, err)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if msg, err := stream.GetMsg(t.Context(), 1); err != nil || string(msg.Data) != "hello" {
		t.Errorf("get: %v", err)
	}
	if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Name: "passing", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Error(err)
	}
	if err := stream.DeleteConsumer(t.Context(), "passing"); err != nil {
		t.Errorf("delete: %v", err)
	}
	select {
	case err := <-denied:
		t.Errorf("an ordinary consumer was refused something: %v", err)
	default:
	}
}

// TestOverlayStoresNothing tries each verb of the JetStream API with a subject of the stream for the answer: nothing that is not relay's own
// may be stored.
func TestOverlayStoresNothing(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	publish(t, js, 1)
	nc, denied := dial(t, s)
	ojs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.CreateOrUpdateConsumer(t.Context(), natsserver.Stream, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	const reply = "treats.treatstream.mystream"
	for _, subject := range []string{
		"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.TREATS", "STREAM.CREATE.X", "STREAM.UPDATE.TREATS", "STREAM.DELETE.TREATS",
		"STREAM.PURGE.TREATS", "STREAM.SNAPSHOT.TREATS", "STREAM.RESTORE.TREATS", "STREAM.MSG.GET.TREATS", "STREAM.MSG.DELETE.TREATS",
		"STREAM.PEER.REMOVE.TREATS", "STREAM.LEADER.STEPDOWN.TREATS", "DIRECT.GET.TREATS", "DIRECT.GET.TREATS.treats.treatstream.acc",
		"CONSUMER.CREATE.TREATS", "CONSUMER.CREATE.TREATS.x", "CONSUMER.CREATE.TREATS.x.treats.>", "CONSUMER.DURABLE.CREATE.TREATS.y",
		"CONSUMER.INFO.TREATS.mine", "CONSUMER.LIST.TREATS", "CONSUMER.NAMES.TREATS", "CONSUMER.DELETE.TREATS.none", "CONSUMER.PAUSE.TREATS.mine",
		"CONSUMER.MSG.NEXT.TREATS.mine", "CONSUMER.RESET.TREATS.mine", "CONSUMER.UNPIN.TREATS.mine", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.RELAY",
	} {
		for _, body := range []string{
			"", "{}", `{"seq":1}`, `{"last_by_subj":"treats.>"}`, `{"batch":1}`,
			`{"stream_name":"TREATS","config":{"name":"x","ack_policy":"none"}}`,
			`{"stream_name":"TREATS","config":{"durable_name":"y","ack_policy":"none"}}`,
			`{"stream_name":"TREATS","config":{"durable_name":"z","deliver_subject":"treats.loop.it","ack_policy":"none"}}`,
		} {
			if err := nc.PublishRequest("$JS.API."+subject, reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range []string{"$JS.ACK.TREATS.mine.1.1.1.1.0", "$JS.FC.TREATS.mine.x"} {
		if err := nc.PublishRequest(subject, reply, []byte("+NXT")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for len(denied) > 0 {
		if err := <-denied; !errors.Is(err, nats.ErrPermissionViolation) {
			t.Error(err)
		}
	}
	if _, err := ojs.Stream(t.Context(), natsserver.Stream); err != nil { // the server answers in order
		t.Fatal(err)
	}
	publish(t, js, 2)
	stream, err := js.Stream(t.Context(), natsserver.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.LastSeq; n != 2 {
		for i := range n {
			if m, err := stream.GetMsg(t.Context(), i+1); err == nil {
				t.Logf("%d: %s %.200s", i+1, m.Subject, m.Data)
			}
		}
		t.Errorf("%d messages are stored, want 2", n)
	}
}

// TestOverlayConsumerDoesNothingElse has consumers deliver to where relay's own account would listen, and has more of them made than there
// may be.
func TestOverlayConsumerDoesNothingElse(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	nc, _ := dial(t, s)
	for i, deliver := range []string{
		"$JS.API.STREAM.PURGE.TREATS", "$JS.API.STREAM.DELETE.TREATS", "$JS.API.CONSUMER.CREATE.TREATS", "_RELAY.x", "treats.loop.it",
	} {
		name := fmt.Sprintf("push%d", i)
		body := fmt.Sprintf(`{"stream_name":"TREATS","config":{"durable_name":%q,"deliver_subject":%q,"ack_policy":"none"}}`, name, deliver)
		m, err := nc.Request("$JS.API.CONSUMER.DURABLE.CREATE.TREATS."+name, []byte(body), 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if refused := bytes.Contains(m.Data, []byte(`"error"`)); !refused {
			t.Errorf("a consumer that delivers to %s: %s", deliver, m.Data)
		}
	}
	ojs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for ; made < 1000 && err == nil; made++ {
		_, err = ojs.CreateConsumer(t.Context(), natsserver.Stream, jetstream.ConsumerConfig{Name: fmt.Sprintf("many%d", made), MemoryStorage: true, AckPolicy: jetstream.AckExplicitPolicy})
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.ErrorCode != jetstream.JSErrCodeMaximumConsumersLimit {
		t.Errorf("%d consumers were made, and then: %v", made, err)
	}
	for i := range 10 {
		publish(t, js, i+1)
	}
	last, err := ojs.Consumer(t.Context(), natsserver.Stream, "many0")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := last.Next(jetstream.FetchMaxWait(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := ojs.Stream(t.Context(), natsserver.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if st := stream.CachedInfo().State; st.Msgs != 10 || st.LastSeq != 10 {
		t.Errorf("the stream holds %d messages, up to number %d, want 10", st.Msgs, st.LastSeq)
	}
}
