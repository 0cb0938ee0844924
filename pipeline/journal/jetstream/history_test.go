package jetstream

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A model of a log: which numbers were given to which ids.
type model struct {
	mu    sync.Mutex
	given map[uint64]string
	last  uint64
}

// take notes the numbers of entries.
func (m *model) take(t *testing.T, numbers []uint64, all []journal.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, number := range numbers {
		if number <= m.last {
			t.Errorf("number %d for %s after %d", number, all[i].ID, m.last)
		}
		m.last = number
		m.given[number] = all[i].ID
	}
}

// check checks that the log holds what was given or says that it is lost, and each entry once.
func (m *model) check(t *testing.T, l journal.Log) {
	t.Helper()
	lost, held, once := gaps(t, l), make(map[uint64]string), make(map[string]bool)
	for _, r := range readAll(t, l, 1) {
		held[r.Number] = r.ID
		if once[r.ID] {
			t.Errorf("%s is stored twice", r.ID)
		}
		once[r.ID] = true
	}
	missing := 0
	for number, id := range m.given {
		gone := false
		for _, g := range lost {
			gone = gone || g.Contains(number)
		}
		switch {
		case gone && held[number] != "":
			t.Errorf("number %d is lost and held", number)
		case gone:
			missing++
		case held[number] != id:
			t.Errorf("number %d is %q, was %q", number, held[number], id)
		}
	}
	t.Logf("%d numbers given, %d of them lost, gaps %v", len(m.given), missing, lost)
}

// write appends until ctx ends.
func (m *model) write(ctx context.Context, t *testing.T, l journal.Log, sizes *rand.Rand) {
	for n := 0; ctx.Err() == nil; {
		all := entries(n, n+1+sizes.IntN(200))
		got, err := l.Append(t.Context(), all)
		for ; err != nil && t.Context().Err() == nil; got, err = l.Append(t.Context(), all) {
			time.Sleep(2 * time.Millisecond)
		}
		m.take(t, got, all)
		n += len(all)
	}
}

// A log whose server is killed, put back to an older state or emptied at any moment.
func TestAnyHistory(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	m := &model{given: make(map[uint64]string)}
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() { m.write(ctx, t, l, rand.New(rand.NewPCG(seed, 2))) })
	backups := []string{""}
	for range rounds {
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		end := p.Kill
		if random.IntN(4) == 0 {
			end = p.Stop
		}
		end()
		switch random.IntN(4) {
		case 0, 1:
			restoreStore(t, p, backups[random.IntN(len(backups))])
		case 2:
			backups = append(backups, copyStore(t, p))
		}
		p.Restart()
	}
	stop()
	writer.Wait()
	m.check(t, l)
	again := openOn(t, dial(t, p.URL()))
	m.check(t, again)
}
