package main

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/simulator"
)

var (
	soakFor = flag.Duration("soak", 0, "run the soak for so long")
	soakOut = flag.String("soak.out", "", "folder for the soak's graph, soak.svg")
)

// TestSoak breaks the connections of a dozen accounts every second or two, renews each token every three seconds, and measures
// relay's resources. A leak shows as a line that climbs.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("takes minutes: make soak runs it for an hour, and .ci/run for three minutes")
	}
	c := newChaos(t, rand.Uint64(), simulator.Config{ExpireToken: 4 * time.Second})
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	// The other accounts use a server that sends nothing: a growing stream would count as memory, because the embedded NATS server
	// caches recent messages.
	idle := newLiveServer(t)
	quiet := newWire(t, fmt.Sprintf("127.0.0.1:%d", idle.port), 1)
	c.configure(func(s *settings) {
		for n := range soakAccounts {
			other := *s.account()
			other.Endpoints.Socket, other.Reconcile = quiet.url(), "off"
			s.Accounts[fmt.Sprint("other", n)] = &other
		}
		for _, sink := range s.Sinks {
			sink.Accounts = []string{"mystream"}
		}
		s.HTTP.Listen = metrics
	})
	for n := range soakAccounts {
		c.loginTo(fmt.Sprint("other", n))
	}
	c.startRelay()
	c.awaitConnected()
	c.emit(1) // few, because the server's memory for each event is not a leak
	announce("soak: %v, all connections lost every second or two", *soakFor)

	s := &soak{began: time.Now()}
	nextLoss := time.Now()
	for time.Since(s.began) < *soakFor {
		if err := s.sample(c.relay.cmd.Process.Pid, "http://"+metrics+"/metrics"); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(nextLoss) {
			c.wire.reset()
			quiet.reset()
			nextLoss = time.Now().Add(time.Second + time.Duration(c.random.Int64N(int64(time.Second))))
		}
		select {
		case <-c.relay.done:
			t.Fatalf("relay has ended: %s", lastLine(c.relay))
		case <-time.After(250 * time.Millisecond):
		}
	}
	c.stopEmission()
	c.finish()
	v := c.verdict()
	connects, refreshes := s.connects, c.sim.Stats().Refresh
	announce("\n%s\n%d connections made, %d tokens renewed\n%s", v, connects, refreshes, s)
	if *soakOut != "" {
		if err := os.MkdirAll(*soakOut, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*soakOut, "soak.svg"), []byte(s.svg(connects, refreshes)), 0o644); err != nil {
			t.Error(err)
		}
	}
	if !v.good() {
		t.Error("the verdict is bad")
	}
	if least := int(soakFor.Seconds() / 3); refreshes < least || connects < least {
		t.Errorf("%d connections made and %d tokens renewed, so little was tried", connects, refreshes)
	}
	for _, m := range soakMetrics {
		if before, after := s.levels(m.name); after > m.allowed(before) {
			t.Errorf("%s has grown from %.0f to %.0f", m.name, before, after)
		}
	}
}

// soakMetrics are the measured resources. The allowance of memory is for the newest blocks of the overlays' stream, of 8 MiB and less each, which the
// server holds while they are written and read, for the ids of events that it remembers, and for noise.
var soakMetrics = []struct {
	name    string
	allowed func(before float64) float64
}{
	{"goroutines", func(before float64) float64 { return before + 30 }},
	{"open files", func(before float64) float64 { return before + 15 }},
	{"live heap, MiB", func(before float64) float64 { return before*1.2 + 12 + 0.003*soakFor.Seconds() }},
	{"resident memory, MiB", func(before float64) float64 { return before*1.2 + 24 + 0.003*soakFor.Seconds() }},
}

// A soak is a series of samples.
type soak struct {
	began  time.Time
	at     []float64 // seconds
	values map[string][]float64

	connects int // of all accounts so far
}

// soakAccounts are in the soak beside the one whose treats are counted. Connections that come and go are made less and less often.
const soakAccounts = 11

func (s *soak) sample(pid int, metrics string) error {
	if s.values == nil {
		s.values = make(map[string][]float64)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	resident, err := strconv.ParseFloat(strings.Fields(rest)[0], 64) // in KiB
	if err != nil {
		return err
	}
	resp, err := http.Get(metrics)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	own := map[string]float64{}
	s.connects = 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		counted := strings.HasPrefix(name, "relay_account_connects_total{")
		if !ok || !counted && name != "go_goroutines" && name != "go_memstats_heap_alloc_bytes" {
			continue
		}
		if own[name], err = strconv.ParseFloat(value, 64); err != nil {
			return err
		}
		if counted {
			s.connects += int(own[name])
		}
	}
	s.at = append(s.at, time.Since(s.began).Seconds())
	for name, v := range map[string]float64{
		"goroutines": own["go_goroutines"], "live heap, MiB": own["go_memstats_heap_alloc_bytes"] / (1 << 20),
		"open files": float64(len(files)), "resident memory, MiB": resident / 1024,
	} {
		s.values[name] = append(s.values[name], v)
	}
	return nil
}

// levels are the least value in the third tenth of the time, when all is warm, and in the last.
func (s *soak) levels(name string) (before, after float64) {
	all := s.values[name]
	n := len(all)
	return slices.Min(all[n*2/10 : n*3/10]), slices.Min(all[n*9/10:])
}

func (s *soak) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %12s %12s\n", "least in a tenth", "third tenth", "last tenth")
	for _, m := range soakMetrics {
		before, after := s.levels(m.name)
		fmt.Fprintf(&b, "%-22s %12.1f %12.1f\n", m.name, before, after)
	}
	return b.String()
}

// svg draws a panel for each metric.
func (s *soak) svg(connects, refreshes int) string {
	const width, height, left, top = 900, 150, 60, 50
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		width+left+20, top+len(soakMetrics)*(height+40))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="24" font-size="16">relay for %v: %d connections made, %d tokens renewed</text>`+"\n",
		left, *soakFor, connects, refreshes)
	end := s.at[len(s.at)-1]
	for i, m := range soakMetrics {
		y := float64(top + i*(height+40))
		values := s.values[m.name]
		most := slices.Max(values) * 1.1
		fmt.Fprintf(&b, `<text x="%d" y="%.0f">%s</text><rect x="%d" y="%.0f" width="%d" height="%d" fill="none" stroke="#bbb"/>`+"\n", left, y-4, m.name, left, y, width, height)
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%.0f</text><text x="%d" y="%.0f" text-anchor="end">0</text>`+"\n", left-4, y+12, most, left-4, y+height)
		b.WriteString(`<polyline fill="none" stroke="#1565c0" points="`)
		for k, v := range values {
			fmt.Fprintf(&b, "%.1f,%.1f ", left+s.at[k]/end*width, y+height-v/most*height)
		}
		b.WriteString(`"/>` + "\n")
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.0f s</text></svg>`+"\n", left+width, top+len(soakMetrics)*(height+40)-20, end)
	return b.String()
}
