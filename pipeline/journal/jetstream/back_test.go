package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// copyStore copies the store of a running server and returns the folder of the copy.
func copyStore(t testing.TB, p *natstest.Server) string {
	t.Helper()
	for range 20 {
		dir := filepath.Join(t.TempDir(), "copy")
		err := os.CopyFS(dir, os.DirFS(p.Dir()))
		if err == nil {
			return dir
		}
		if !errors.Is(err, os.ErrNotExist) { // a server that runs removes files meanwhile
			t.Fatal(err)
		}
	}
	t.Fatal("the server's folder does not hold still")
	return ""
}

// restoreStore puts a copy in the place of a server's folder; "" stands for nothing.
func restoreStore(t testing.TB, p *natstest.Server, dir string) {
	t.Helper()
	err := os.RemoveAll(p.Dir())
	if err == nil && dir != "" {
		err = os.CopyFS(p.Dir(), os.DirFS(dir))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The server's newest records vanish while relay runs: a backup is put back, or a power cut takes what the server had not synced, which is the same as
// an older copy of its folder.
func TestGoesBackInTime(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*natstest.Server)
	}{{"restored backup", (*natstest.Server).Stop}, {"lost end", (*natstest.Server).Kill}} {
		t.Run(c.name, func(t *testing.T) {
			p := natstest.StartProgram(t, natsServer)
			l := openOn(t, dial(t, p.URL()))
			appendAll(t, l, entries(0, 30))
			p.Stop()
			backup := copyStore(t, p)
			p.Restart()
			wantEqual(t, "before", appendAll(t, l, entries(30, 60)), upTo(31, 60))
			changed := l.Changed()
			c.end(p)
			restoreStore(t, p, backup)
			p.Restart()
			<-changed // it is noticed without a write
			wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 31, Last: 60}})
			if _, next := l.Bounds(); next != 61 {
				t.Errorf("next is %d", next)
			}
			if !strings.Contains(l.lines.String(), "lost its newest records") {
				t.Error("nothing was said")
			}
			wantEqual(t, "after", appendAll(t, l, entries(60, 72)), upTo(61, 72))
			wantEqual(t, "healed", appendAll(t, l, entries(30, 60)), upTo(73, 102))
			want := append(append(wantIDs(0, 30), wantIDs(60, 72)...), wantIDs(30, 60)...)
			records := readAll(t, l, 1)
			wantEqual(t, "ids", ids(records), want)
			wantEqual(t, "numbers", numbers(records), append(upTo(1, 30), upTo(61, 102)...))

			again := openOn(t, dial(t, p.URL()))
			wantEqual(t, "numbers after a restart", numbers(readAll(t, again, 1)), numbers(records))
			wantEqual(t, "gaps after a restart", gaps(t, again), []journal.Range{{First: 31, Last: 60}})
		})
	}
}

// A server that comes back empty is not a first run.
func TestComesBackEmpty(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	appendAll(t, l, entries(0, 30))
	if err := l.DropBefore(t.Context(), entry(10).Time); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	restoreStore(t, p, "")
	p.Restart()
	wantEqual(t, "numbers", appendAll(t, l, entries(30, 40)), upTo(31, 40))
	wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 11, Last: 30}}) // those before were dropped
	if first, next := l.Bounds(); first != 31 || next != 41 {
		t.Errorf("bounds %d, %d", first, next)
	}
	wantEqual(t, "ids", ids(readAll(t, l, 1)), wantIDs(30, 40))
	if _, err := l.state.Put(t.Context(), "cursor.web", []byte("1"), journal.AnyRevision); err != nil {
		t.Error(err)
	}
	again := openOn(t, dial(t, p.URL()))
	wantEqual(t, "numbers after a restart", numbers(readAll(t, again, 1)), upTo(31, 40))
}

// An operator deletes stream and bucket; the connection stays.
func TestDeletedStream(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	appendAll(t, l, entries(0, 30))
	for _, stream := range []string{StreamName, bucketStream} {
		if err := l.client.api(t.Context(), "STREAM.DELETE."+stream, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if revision, err := l.state.Put(t.Context(), "cursor.web", []byte("1"), journal.AnyRevision); err != nil || revision == 0 {
		t.Errorf("put into a bucket that is gone: %v", err)
	}
	wantEqual(t, "numbers", appendAll(t, l, entries(30, 40)), upTo(31, 40))
	wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 1, Last: 30}})
}

// The end of the stream is replaced by records of others, and there are more of them than before.
func TestReplacedEnd(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	appendAll(t, l, entries(0, 30))
	p.Stop()
	backup := copyStore(t, p)
	p.Restart()
	appendAll(t, l, entries(30, 60))
	p.Stop()
	restoreStore(t, p, backup)
	// The others write while relay is not connected: on another port.
	other := natstest.StartProgram(t, natsServer, "-sd", p.Dir())
	t.Run("the others", func(t *testing.T) {
		o := openOn(t, dial(t, other.URL()))
		wantEqual(t, "numbers of the others", appendAll(t, o, entries(1000, 1050)), upTo(31, 80))
	})
	other.Stop()
	p.Restart()
	wantEqual(t, "numbers", appendAll(t, l, entries(60, 70)), upTo(111, 120))
	records := readAll(t, l, 1)
	wantEqual(t, "ids", ids(records), append(append(wantIDs(0, 30), wantIDs(1000, 1050)...), wantIDs(60, 70)...))
	wantEqual(t, "numbers", numbers(records), append(upTo(1, 30), upTo(61, 120)...))
	wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 31, Last: 60}})
}

// The stream went back while no relay ran: whoever remembers more says so.
func TestWentBackWhileAway(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	t.Run("before", func(t *testing.T) {
		l := openOn(t, dial(t, p.URL()))
		appendAll(t, l, entries(0, 30))
	})
	p.Stop()
	backup := copyStore(t, p)
	p.Restart()
	t.Run("then", func(t *testing.T) {
		l := openOn(t, dial(t, p.URL()))
		if err := l.Reserve(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "numbers", appendAll(t, l, entries(30, 60)), upTo(101, 130))
	})
	p.Stop()
	later := copyStore(t, p)
	restoreStore(t, p, backup)
	p.Restart()
	t.Run("all of the server went back", func(t *testing.T) {
		l := openOn(t, dial(t, p.URL()))
		if err := l.Reserve(t.Context(), 130); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "numbers", appendAll(t, l, entries(60, 70)), upTo(131, 140))
		wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 31, Last: 130}})
	})
	p.Stop()
	// The stream alone is the old one: the state knows that a hundred numbers were given.
	restoreStore(t, p, later)
	stream := filepath.Join("jetstream", "$G", "streams", StreamName)
	if err := os.RemoveAll(filepath.Join(p.Dir(), stream)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(p.Dir(), stream), os.DirFS(filepath.Join(backup, stream))); err != nil {
		t.Fatal(err)
	}
	p.Restart()
	t.Run("its stream went back", func(t *testing.T) {
		l := openOn(t, dial(t, p.URL()))
		if _, next := l.Bounds(); next != 101 {
			t.Errorf("next is %d, want 101", next)
		}
		if err := l.Reserve(t.Context(), 130); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "numbers", appendAll(t, l, entries(60, 70)), upTo(131, 140))
		wantEqual(t, "read", numbers(readAll(t, l, 1)), append(upTo(1, 30), upTo(131, 140)...))
	})
}

// The server is killed in the middle of appends, again and again: everything is stored once, in order, with the numbers that were said.
func TestServerKilledWhileAppending(t *testing.T) {
	kills := 25
	if testing.Short() {
		kills = 5
	}
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for range kills {
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			p.Kill()
			p.Restart()
		}
	}()
	var said []uint64
	n := 0
	for ended := false; !ended; {
		select {
		case <-killed:
			ended = true
		default:
		}
		size := []int{1, 5, 40, 300, 1500}[rand.IntN(5)]
		for {
			got, err := l.Append(ctx, entries(n, n+size))
			if err == nil {
				said = append(said, got...)
				break
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
		n += size
	}
	records := readAll(t, l, 1)
	wantEqual(t, "ids", ids(records), wantIDs(0, n))
	wantEqual(t, "numbers", numbers(records), said)
	wantEqual(t, "numbers", said, upTo(1, uint64(n)))
	t.Logf("%d entries over %d kills", n, kills)
}

// onLine does something once when a line with these words is logged.
type onLine struct {
	words string
	mu    sync.Mutex
	do    func()
}

func (o *onLine) set(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.do = do
}

func (o *onLine) Write(p []byte) (int, error) {
	if !strings.Contains(string(p), o.words) {
		return len(p), nil
	}
	o.mu.Lock()
	do := o.do
	o.do = nil
	o.mu.Unlock()
	if do != nil {
		do()
	}
	return len(p), nil
}

// The server is replaced by another copy while the log finds out what the one before has lost.
func TestGoesBackTwice(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	hook := &onLine{words: "lost its newest records"}
	l := openOn(t, dial(t, p.URL()), func(o *Options) { o.Log = zerolog.New(hook) })
	m := &model{given: make(map[uint64]string)}
	add := func(from, to int) {
		all := entries(from, to)
		m.take(t, appendAll(t, l, all), all)
	}
	put := func(copied string) {
		p.Kill()
		restoreStore(t, p, copied)
		p.Restart()
	}
	var copies []string
	for n := range 3 {
		add(n*30, n*30+30)
		p.Stop()
		copies = append(copies, copyStore(t, p))
		p.Restart()
	}
	put("")
	add(100, 150)
	hook.set(func() { put(copies[1]) })
	put(copies[0])
	add(150, 300)
	m.check(t, l)
	m.check(t, openOn(t, dial(t, p.URL())))
}
