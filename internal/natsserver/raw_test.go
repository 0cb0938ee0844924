package natsserver_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
)

// raw is an overlay that speaks the protocol itself, and so does what no client library does.
type raw struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialRaw(t *testing.T, s *natsserver.Server) *raw {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := &raw{t, conn, bufio.NewReader(conn)}
	r.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"overlay\",\"pass\":%q}\r\n", password)
	return r
}

func (r *raw) send(format string, args ...any) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.conn, format, args...); err != nil {
		r.t.Fatal(err)
	}
}

// pub publishes with a subject for the answer.
func (r *raw) pub(subject, reply, body string) {
	r.t.Helper()
	r.send("PUB %s %s %d\r\n%s\r\n", subject, reply, len(body), body)
}

// sync waits until the server has read everything, and returns what came until then. It fails the test if the server closes the connection.
func (r *raw) sync() string {
	r.t.Helper()
	r.send("PING\r\n")
	var all strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			r.t.Fatalf("%v, after %.500s", err, all.String())
		}
		switch strings.TrimSpace(line) {
		case "PONG":
			return all.String()
		case "PING":
			r.send("PONG\r\n")
		}
		all.WriteString(line)
	}
}

// apiVerbs are the verbs of $JS.API, with the stream and a consumer of it in their places.
func apiVerbs() []string {
	return []string{
		"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.TREATS", "STREAM.CREATE.X", "STREAM.CREATE.TREATS", "STREAM.UPDATE.TREATS", "STREAM.DELETE.TREATS",
		"STREAM.PURGE.TREATS", "STREAM.SNAPSHOT.TREATS", "STREAM.RESTORE.TREATS", "STREAM.MSG.GET.TREATS", "STREAM.MSG.DELETE.TREATS",
		"STREAM.PEER.REMOVE.TREATS", "STREAM.LEADER.STEPDOWN.TREATS", "STREAM.TEMPLATE.CREATE.X", "DIRECT.GET.TREATS", "DIRECT.GET.TREATS.treats.treatstream.acc",
		"CONSUMER.CREATE.TREATS", "CONSUMER.CREATE.TREATS.x", "CONSUMER.CREATE.TREATS.x.treats.>", "CONSUMER.DURABLE.CREATE.TREATS.y",
		"CONSUMER.INFO.TREATS.mine", "CONSUMER.LIST.TREATS", "CONSUMER.NAMES.TREATS", "CONSUMER.DELETE.TREATS.none", "CONSUMER.PAUSE.TREATS.mine",
		"CONSUMER.MSG.NEXT.TREATS.mine", "CONSUMER.RESET.TREATS.mine", "CONSUMER.UNPIN.TREATS.mine", "CONSUMER.LEADER.STEPDOWN.TREATS.mine",
		"META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.RELAY", "ACCOUNT.STREAM.MOVE.RELAY.TREATS",
	}
}

// An overlay that speaks the protocol by itself gets nothing stored: by no verb of the API with a subject of the stream for the answer, by no loop
// of them, and by no consumer that delivers to the stream or to the API.
func TestOverlayRawProtocol(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	publish(t, js, 1)
	nc, _ := dial(t, s)
	ojs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ojs.CreateOrUpdateConsumer(t.Context(), natsserver.Stream, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	consumer := func(deliver string) string {
		return fmt.Sprintf(`{"stream_name":"TREATS","config":{"durable_name":"y","deliver_subject":%q,"deliver_policy":"all","ack_policy":"none"}}`, deliver)
	}
	bodies := []string{
		"", "{}", "null", "+NXT", `{"seq":1}`, `{"last_by_subj":"treats.>"}`, `{"next_by_subj":"treats.>","batch":100}`, `{"batch":100,"expires":1000000000}`, `{"filter":"1","keep":0}`,
		`{"name":"TREATS","subjects":["$JS.API.>"]}`, `{"deliver_subject":"treats.treatstream.mystream"}`,
		consumer(""), consumer("treats.treatstream.mystream"), consumer("$JS.API.STREAM.PURGE.TREATS"),
	}
	const reply = "treats.treatstream.mystream"
	for _, verb := range apiVerbs() {
		r := dialRaw(t, s) // a consumer of one verb must not help another
		for _, body := range bodies {
			r.pub("$JS.API."+verb, reply, body)
			r.pub("$JS.API."+verb, "$JS.API.STREAM.PURGE.TREATS", body)
		}
		r.sync()
	}
	r := dialRaw(t, s)
	for _, subject := range []string{
		"$JS.ACK.TREATS.mine.1.1.1.1.0", "$JS.FC.TREATS.mine.x", reply, "treats.x", "_INBOX.x", "_R_.x.y", "_RELAY.x", "$JS.API.STREAM.CREATE.X", "$JSC.R.x", "$SYS.REQ.SERVER.PING", "$SRV.PING",
	} {
		for _, body := range []string{"", "+NXT", "+ACK", "-NAK", "{}"} {
			r.pub(subject, reply, body)
			r.send("HPUB %s %s 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", subject, reply, 12+len(body), body)
		}
	}
	r.sync()
	for range 20 {
		for range 500 {
			r.pub("$JS.API.INFO", reply, "")
		}
		r.sync()
	}
	// The server has answered all that when it answers this.
	if _, err := ojs.Stream(t.Context(), natsserver.Stream); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 2)
	stream, err := js.Stream(t.Context(), natsserver.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if st := stream.CachedInfo().State; st.Msgs != 2 || st.LastSeq != 2 {
		t.Errorf("the stream holds %d messages, up to number %d, want relay's two", st.Msgs, st.LastSeq)
	}
	if c := stream.CachedInfo().Config; len(c.Subjects) != 1 || c.Subjects[0] != natsserver.Subjects {
		t.Errorf("the stream takes %v", c.Subjects)
	}
}
