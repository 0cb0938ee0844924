package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// TestNATSStartsWithoutAServer checks that a sink opens while the server is down, and logs little about it.
func TestNATSStartsWithoutAServer(t *testing.T) {
	p := sinktest.NewProcess(t, "")
	var log sinktest.LockedBuffer
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	records := sinktest.Plain("mystream", 10)
	for range 5 {
		n, err := sink.Deliver(t.Context(), records)
		if n != 0 || err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "not connected to nats://"+p.Address) {
			t.Fatalf("Deliver = %d, %v", n, err)
		}
	}
	p.Start(t)
	t.Cleanup(func() { p.Kill() })
	lane(t, sink, records[:5])
	for range 2 {
		p.Kill()
		for range 3 {
			if n, err := sink.Deliver(t.Context(), records[5:]); n != 0 || err == nil {
				t.Fatalf("Deliver without a server = %d, %v", n, err)
			}
		}
		p.Start(t)
		lane(t, sink, records[:7])
	}
	lane(t, sink, records)
	sameRecords(t, p.Stored(t, "TREATS"), records)
	if down, up := strings.Count(log.String(), "not connected"), strings.Count(log.String(), "connected to NATS\""); down != 3 || up != 3 {
		t.Errorf("3 outages were logged %d times, their ends %d times:\n%s", down, up, log.String())
	}
}

// TestNATSLogin checks that a refused login is reported clearly and retried, and recovers without a restart.
func TestNATSLogin(t *testing.T) {
	p := sinktest.RunningFor(t, sinktest.User{Name: "relay", Password: "not-the-planted-one"})
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, "nats://"+p.Address)
	config.User, config.Password = "relay", secret.New(sinktest.NATSPassword)
	sink := openNATS(t, config, &log)
	var told error
	for range 300 {
		n, err := sink.Deliver(t.Context(), sinktest.Plain("mystream", 1))
		if n != 0 || err == nil || pipeline.IsPermanent(err) || strings.Contains(err.Error(), sinktest.NATSPassword) {
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
	p.Reload(t, sinktest.User{Name: "relay", Password: sinktest.NATSPassword})
	lane(t, sink, sinktest.Plain("mystream", 3))
	if strings.Contains(log.String(), sinktest.NATSPassword) {
		t.Errorf("the password is logged:\n%s", log.String())
	}
}

// TestNATSPermissions checks that the error has the server's refusal, although the client only sees that no reply
// arrives.
func TestNATSPermissions(t *testing.T) {
	p := sinktest.RunningFor(t,
		sinktest.User{Name: "relay", Password: sinktest.NATSPassword},
		sinktest.User{
			Name: "limited", Password: sinktest.NATSLimited,
			Permissions: &sinktest.Permissions{Publish: &sinktest.Subjects{Deny: []string{"treats.>"}}},
		})
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, p.URLFor("limited", sinktest.NATSLimited))
	natssink.SetAnswerTimeout(config, 2*time.Second)
	sink := openNATS(t, config, &log)
	for _, records := range [][]pipeline.Record{sinktest.Plain("mystream", 1), sinktest.Plain("mystream", 3)} {
		var n int
		var err error
		for n, err = 0, errors.New("not connected"); strings.Contains(fmt.Sprint(err), "not connected"); {
			n, err = sink.Deliver(t.Context(), records)
		}
		if n != 0 || pipeline.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), "ermissions") ||
			strings.Contains(fmt.Sprint(err), sinktest.NATSLimited) {
			t.Errorf("Deliver = %d, %v", n, err)
		}
	}
}

// TestNATSOneSubjectDenied has a login that may not publish the events of one account. Each of them is refused at once, however many they are,
// and those of others are taken.
func TestNATSOneSubjectDenied(t *testing.T) {
	p := sinktest.RunningFor(t, sinktest.User{
		Name: "relay", Password: sinktest.NATSPassword,
		Permissions: &sinktest.Permissions{Publish: &sinktest.Subjects{Deny: []string{"treats.treatstream.bad"}}},
	})
	var log sinktest.LockedBuffer
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	good, bad := sinktest.Plain("good", 100), sinktest.Plain("bad", 1000)
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
	sameRecords(t, p.Stored(t, "TREATS"), good)
	if n := strings.Count(log.String(), "\n"); n > 4 {
		t.Errorf("%d lines are logged:\n%s", n, log.String())
	}
}

// TestNATSStreamGoes deletes the stream while the sink uses it.
func TestNATSStreamGoes(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	_, js := sinktest.Client(t, p)
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	records := sinktest.Plain("mystream", 20)
	lane(t, sink, records[:10])
	if err := js.DeleteStream(t.Context(), "TREATS"); err != nil {
		t.Fatal(err)
	}
	errs := lane(t, sink, records[10:])
	if len(errs) == 0 || !strings.Contains(errs[0].Error(), "stream TREATS exists") {
		t.Errorf("errors: %v", errs)
	}
	sameRecords(t, p.Stored(t, "TREATS"), records[10:])
}

// TestNATSThroughARestart kills and starts the server while accounts deliver, one by one and in batches.
func TestNATSThroughARestart(t *testing.T) {
	p := sinktest.NewProcess(t, "")
	p.Start(t)
	t.Cleanup(func() { p.Kill() })
	var log sinktest.LockedBuffer
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	const accounts, each = 4, 1000
	progress := make(chan int, accounts*each)
	var all sync.WaitGroup
	for i := range accounts {
		all.Go(func() {
			records := sinktest.Plain(fmt.Sprintf("account%d", i), each)
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
			p.Kill()
			p.Start(t)
		}
	}
	go func() {
		for range progress { // Nobody counts any more.
		}
	}()
	all.Wait()
	close(progress)
	next := map[string]int{}
	got := p.Stored(t, "TREATS")
	for _, a := range got {
		account := strings.Split(a.ID, "_")[1]
		if want := fmt.Sprintf("trt_%s_%04d", account, next[account]); a.ID != want {
			t.Fatalf("%s follows, want %s", a.ID, want)
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

// TestNATSReconnects closes the connection for good, as the client does after some errors of the server.
func TestNATSReconnects(t *testing.T) {
	dest := sinktest.EmbeddedDestination(t)
	t.Cleanup(dest.End)
	var connections []*nats.Conn
	sink, err := sinks.Open(t.Context(), dest.Config, sinks.Env{Name: "overlay", NATS: func(ctx context.Context) (*nats.Conn, error) {
		nc, err := dest.Nats(ctx)
		connections = append(connections, nc)
		return nc, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	lane(t, sink, sinktest.Plain("mystream", 10))
	connections[0].Close()
	lane(t, sink, sinktest.Plain("mystream", 20))
	sameRecords(t, dest.Arrived(t), sinktest.Plain("mystream", 20))
	if len(connections) != 2 {
		t.Errorf("%d connections were made, want 2", len(connections))
	}
}
