package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// TestNATSStartsWithoutAServer wants a sink that opens while the server is down, and few words about it.
func TestNATSStartsWithoutAServer(t *testing.T) {
	p := newProcess(t, "")
	var log lockedBuffer
	sink := openNATS(t, natsConfig(t, p.url()), &log)
	records := plain("mystream", 10)
	for range 5 {
		n, err := sink.Deliver(t.Context(), records)
		if n != 0 || err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "not connected to nats://"+p.address) {
			t.Fatalf("Deliver = %d, %v", n, err)
		}
	}
	p.start(t)
	t.Cleanup(func() { p.kill() })
	lane(t, sink, records[:5])
	for range 2 {
		p.kill()
		for range 3 {
			if n, err := sink.Deliver(t.Context(), records[5:]); n != 0 || err == nil {
				t.Fatalf("Deliver without a server = %d, %v", n, err)
			}
		}
		p.start(t)
		lane(t, sink, records[:7])
	}
	lane(t, sink, records)
	sameRecords(t, p.stored(t, "TREATS"), records)
	if down, up := strings.Count(log.String(), "not connected"), strings.Count(log.String(), "connected to NATS\""); down != 3 || up != 3 {
		t.Errorf("3 outages were logged %d times, their ends %d times:\n%s", down, up, log.String())
	}
}

// TestNATSLogin wants a refused login told clearly, retried, and mended without a restart.
func TestNATSLogin(t *testing.T) {
	p := newProcess(t, `authorization: {user: relay, password: "not-the-planted-one"}`)
	p.start(t)
	t.Cleanup(func() { p.kill() })
	var log lockedBuffer
	config := natsConfig(t, "nats://"+p.address)
	config.User, config.Password = "relay", secret.New(natsPassword)
	sink := openNATS(t, config, &log)
	var told error
	for range 300 {
		n, err := sink.Deliver(t.Context(), plain("mystream", 1))
		if n != 0 || err == nil || pipeline.IsPermanent(err) || strings.Contains(err.Error(), natsPassword) {
			t.Fatalf("Deliver = %d, %v", n, err)
		}
		if told = err; strings.Contains(err.Error(), "check the sink's credentials") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(told.Error(), "check the sink's credentials") {
		t.Errorf("error: %v", told)
	}
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.config, []byte(strings.ReplaceAll(string(text), "not-the-planted-one", natsPassword)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	lane(t, sink, plain("mystream", 3))
	if strings.Contains(log.String(), natsPassword) {
		t.Errorf("the password is logged:\n%s", log.String())
	}
}

// TestNATSPermissions wants the server's refusal in the error, for the client sees only that no answer comes.
func TestNATSPermissions(t *testing.T) {
	p := running(t, fmt.Sprintf(`authorization: {users: [
		{user: relay, password: %q}
		{user: limited, password: %q, permissions: {publish: {deny: "treats.>"}}}
	]}`, natsPassword, natsLimited))
	var log lockedBuffer
	config := natsConfig(t, strings.ReplaceAll(strings.ReplaceAll(p.url(), "relay:", "limited:"), natsPassword, natsLimited))
	sinks.SetAnswerTimeout(config, 2*time.Second)
	sink := openNATS(t, config, &log)
	for _, records := range [][]pipeline.Record{plain("mystream", 1), plain("mystream", 3)} {
		var n int
		var err error
		for n, err = 0, errors.New("not connected"); strings.Contains(fmt.Sprint(err), "not connected"); {
			n, err = sink.Deliver(t.Context(), records)
		}
		if n != 0 || pipeline.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), "ermissions") ||
			strings.Contains(fmt.Sprint(err), natsLimited) {
			t.Errorf("Deliver = %d, %v", n, err)
		}
	}
}

// TestNATSOneSubjectDenied has a login that may not publish the events of one account. Each of them is refused at once, however many they are,
// and those of others are taken.
func TestNATSOneSubjectDenied(t *testing.T) {
	p := running(t, fmt.Sprintf(`authorization: {users: [{user: relay, password: %q, permissions: {publish: {deny: "treats.treatstream.bad"}}}]}`,
		natsPassword))
	var log lockedBuffer
	sink := openNATS(t, natsConfig(t, p.url()), &log)
	good, bad := plain("good", 100), plain("bad", 1000)
	lane(t, sink, good[:10])
	for i := range 9 {
		for range 50 { // another connection is made now and then, for it has too many messages without an answer
			n, err := sink.Deliver(t.Context(), bad)
			if n != 0 || err == nil || pipeline.IsPermanent(err) || strings.Contains(err.Error(), "in time") {
				t.Fatalf("Deliver = %d, %v", n, err)
			}
			if strings.Contains(err.Error(), "ermissions") {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		lane(t, sink, good[10+10*i:20+10*i])
	}
	mixed := []pipeline.Record{good[98], good[99], bad[0], good[0]}
	if n, err := sink.Deliver(t.Context(), mixed); n != 2 || err != nil {
		t.Errorf("Deliver of two and one that is denied = %d, %v", n, err)
	}
	sameRecords(t, p.stored(t, "TREATS"), good)
	if n := strings.Count(log.String(), "\n"); n > 4 {
		t.Errorf("%d lines are logged:\n%s", n, log.String())
	}
}

// TestNATSStreamGoes deletes the stream under the sink.
func TestNATSStreamGoes(t *testing.T) {
	p := running(t, "")
	var log lockedBuffer
	_, js := client(t, p)
	sink := openNATS(t, natsConfig(t, p.url()), &log)
	records := plain("mystream", 20)
	lane(t, sink, records[:10])
	if err := js.DeleteStream(t.Context(), "TREATS"); err != nil {
		t.Fatal(err)
	}
	errs := lane(t, sink, records[10:])
	if len(errs) == 0 || !strings.Contains(errs[0].Error(), "stream TREATS exists") {
		t.Errorf("errors: %v", errs)
	}
	sameRecords(t, p.stored(t, "TREATS"), records[10:])
}

// TestNATSThroughARestart kills and starts the server while accounts deliver, one by one and in batches.
func TestNATSThroughARestart(t *testing.T) {
	p := newProcess(t, "")
	p.start(t)
	t.Cleanup(func() { p.kill() })
	var log lockedBuffer
	sink := openNATS(t, natsConfig(t, p.url()), &log)
	const accounts, each = 4, 1000
	progress := make(chan int, accounts*each)
	var all sync.WaitGroup
	for i := range accounts {
		all.Go(func() {
			records := plain(fmt.Sprintf("account%d", i), each)
			for len(records) > 0 && t.Context().Err() == nil {
				n, err := sink.Deliver(t.Context(), records[:min(len(records), 1+len(records)%13)])
				if pipeline.IsPermanent(err) {
					t.Error(err)
					return
				}
				if n == 0 {
					time.Sleep(5 * time.Millisecond)
				}
				progress <- n
				records = records[n:]
			}
		})
	}
	for kills, delivered := 0, 0; kills < 3; {
		if delivered += <-progress; delivered > (kills+1)*accounts*each/4 {
			kills++
			p.kill()
			p.start(t)
		}
	}
	go func() {
		for range progress { // Nobody counts any more.
		}
	}()
	all.Wait()
	close(progress)
	next := map[string]int{}
	got := p.stored(t, "TREATS")
	for _, a := range got {
		account := strings.Split(a.id, "_")[1]
		if want := fmt.Sprintf("trt_%s_%04d", account, next[account]); a.id != want {
			t.Fatalf("%s follows, want %s", a.id, want)
		}
		next[account]++
	}
	if len(got) != accounts*each {
		t.Errorf("%d events are stored, want %d", len(got), accounts*each)
	}
	if n := strings.Count(log.String(), "not connected"); n != 3 {
		t.Errorf("3 outages were logged %d times:\n%s", n, log.String())
	}
}

// TestNATSConnectsAnew has the connection closed for good, as the client does after some errors of the server.
func TestNATSConnectsAnew(t *testing.T) {
	dest := embeddedDestination(t)
	t.Cleanup(dest.end)
	var connections []*nats.Conn
	sink, err := sinks.Open(t.Context(), dest.config, sinks.Env{Name: "overlay", NATS: func(ctx context.Context) (*nats.Conn, error) {
		nc, err := dest.nats(ctx)
		connections = append(connections, nc)
		return nc, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	lane(t, sink, plain("mystream", 10))
	connections[0].Close()
	lane(t, sink, plain("mystream", 20))
	sameRecords(t, dest.arrived(t), plain("mystream", 20))
	if len(connections) != 2 {
		t.Errorf("%d connections were made, want 2", len(connections))
	}
}
