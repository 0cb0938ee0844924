package jetstream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// openCluster opens a log on a cluster, as soon as that is ready for it.
func openCluster(t *testing.T, servers []*natstest.Server, change ...func(*Options)) *opened {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL())
	}
	nc := dial(t, strings.Join(urls, ","))
	k := newClient(t.Context(), nc, openedLog(t))
	defer k.close()
	eventually(t, "the cluster has three nodes", func() bool {
		probe := stateConfig()
		probe.Name, probe.Subjects, probe.Replicas = "PROBE", []string{"probe"}, len(servers)
		if err := k.api(t.Context(), "STREAM.CREATE.PROBE", probe, nil); err != nil {
			return false
		}
		return k.api(t.Context(), "STREAM.DELETE.PROBE", nil, nil) == nil
	})
	return openOn(t, nc, change...)
}

// leader is the server that leads the journal's stream.
func leader(t *testing.T, l *opened, servers []*natstest.Server) *natstest.Server {
	t.Helper()
	info, err := l.client.info(t.Context(), StreamName, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		if info.Cluster.Leader == "node"+string(rune('1'+i)) {
			return s
		}
	}
	t.Fatalf("leader %q", info.Cluster.Leader)
	return nil
}

// The node that leads the journal is killed, again and again: writing goes on, nothing is lost or doubled.
func TestLeaderKilled(t *testing.T) {
	servers := natstest.StartCluster(t, natsServer, 3)
	l := openCluster(t, servers)
	info, err := l.client.info(t.Context(), StreamName, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info.Config.Replicas != 3 {
		t.Fatalf("%d replicas in a cluster of three", info.Config.Replicas)
	}
	if !strings.Contains(l.lines.String(), `"replicas":3`) {
		t.Error("the choice was not said")
	}
	kills, n := 2, 0
	if testing.Short() {
		kills = 1
	}
	for range kills {
		appendAll(t, l, entries(n, n+400))
		n += 400
		down := leader(t, l, servers)
		began := time.Now()
		down.Kill()
		appendAll(t, l, entries(n, n+1))
		n++
		t.Logf("writing went on %v after the leader was killed", time.Since(began).Round(10*time.Millisecond))
		if _, err := l.state.Put(t.Context(), "cursor.web", []byte("1"), journal.AnyRevision); err != nil {
			eventually(t, "the state is written", func() bool {
				_, err = l.state.Put(t.Context(), "cursor.web", []byte("1"), journal.AnyRevision)
				return err == nil
			})
		}
		down.Restart()
		eventually(t, "all three are current", func() bool {
			info, err := l.client.info(t.Context(), StreamName, nil)
			if err != nil || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
				return false
			}
			return info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current && info.Cluster.Leader != ""
		})
	}
	records := readAll(t, l, 1)
	wantEqual(t, "ids", ids(records), wantIDs(0, n))
	wantEqual(t, "numbers", numbers(records), upTo(1, uint64(n)))
	if ranges := gaps(t, l); len(ranges) > 0 {
		t.Errorf("gaps %v", ranges)
	}
}

// With one replica its node is needed, and that is said; with three, later, it is made three.
func TestOneReplica(t *testing.T) {
	servers := natstest.StartCluster(t, natsServer, 3)
	var url string
	t.Run("one", func(t *testing.T) {
		l := openCluster(t, servers, func(o *Options) { o.Replicas = 1 })
		if !strings.Contains(l.lines.String(), "journal.replicas: 3") {
			t.Errorf("log: %s", l.lines)
		}
		appendAll(t, l, entries(0, 10))
		down := leader(t, l, servers)
		down.Kill()
		var failed error
		eventually(t, "an append says what would help", func() bool {
			_, failed = l.Append(t.Context(), entries(10, 11))
			return errors.Is(failed, errNoReplica)
		})
		down.Restart()
		appendAll(t, l, entries(10, 11))
		url = down.URL()
	})
	nc := dial(t, url)
	var l *opened
	eventually(t, "it has three replicas", func() bool {
		log, state, err := Open(t.Context(), Options{Conn: nc, Log: openedLog(t)})
		if err != nil {
			return false
		}
		info, err := log.client.info(t.Context(), StreamName, nil)
		if err == nil && info.Config.Replicas == 3 {
			l = &opened{log, state, nil}
			return true
		}
		_ = log.Close()
		return false
	})
	defer l.Close()
	wantEqual(t, "numbers", appendAll(t, l, entries(11, 20)), upTo(12, 20))
	wantEqual(t, "ids", ids(readAll(t, l, 1)), wantIDs(0, 20))
}

// A server alone keeps one replica, whatever is wanted.
func TestFewerReplicas(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc := dial(t, p.URL(), nats.Name("fewer"))
	for range 2 {
		t.Run("open", func(t *testing.T) {
			l := openOn(t, nc, func(o *Options) { o.Replicas = 3 })
			if !strings.Contains(l.lines.String(), "fewer") {
				t.Errorf("log: %s", l.lines)
			}
			appendAll(t, l, entries(0, 1))
		})
	}
}
