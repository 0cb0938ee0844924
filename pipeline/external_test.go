package pipeline

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// natsProcess is a real nats-server of its own.
type natsProcess struct {
	t        *testing.T
	bin, dir string
	port     int
	stop     func()
}

func startNATS(t *testing.T) *natsProcess {
	t.Helper()
	p := &natsProcess{t: t, bin: filepath.Join(t.TempDir(), "nats-server"), dir: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.start()
	return p
}

func (p *natsProcess) start() {
	p.t.Helper()
	cmd := exec.Command(p.bin, "-js", "-sd", p.dir, "-a", "127.0.0.1", "-p", fmt.Sprint(p.port))
	logs, err := cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ready := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		once := sync.OnceFunc(func() { close(ready) })
		for s := bufio.NewScanner(logs); s.Scan(); {
			if strings.Contains(s.Text(), "Server is ready") {
				once()
			}
		}
	}()
	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	p.t.Cleanup(func() { p.stop() })
	select {
	case <-ready:
	case <-time.After(20 * time.Second):
		p.t.Fatal("nats-server is not ready")
	}
}

// The journal on another server, which is killed and comes back meanwhile: nothing is lost, doubled or out of order.
func TestJournalOnAnExternalServer(t *testing.T) {
	const n = 1500
	p := startNATS(t)
	conn, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", p.port), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn)
	in := r.intake("acc")
	var sink box
	_, stop := r.lane(&sink, LaneConfig{})
	for from := 0; from < n; from += 500 {
		r.send(in, from, from+500)
		if from == 500 {
			p.stop()
			r.send(in, 1500, 1700) // while it is away
			p.start()
		}
	}
	want := append(append(wantTitles(0, 1000), wantTitles(1500, 1700)...), wantTitles(1000, 1500)...)
	r.holds(&sink, "acc", want)
	if diff := cmp.Diff(want, titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if err := stop(true); err != nil {
		t.Error(err)
	}
}
