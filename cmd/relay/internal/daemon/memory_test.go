package daemon

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Memory that a flood has left returns to the system once little happens, and not before.
func TestKeepMemorySmall(t *testing.T) {
	leave := func() {
		for range 64 {
			garbage := make([]byte, 4<<20)
			runtime.KeepAlive(garbage)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		defer work.Wait()
		defer stop()
		work.Go(func() { keepMemorySmall(ctx) })
		held := make([][]byte, 64)
		for i := range held {
			held[i] = make([]byte, 4<<20)
		}
		runtime.GC()
		clear(held)
		leave()
		if spare, _ := memoryUse(); spare <= memorySpare {
			t.Fatalf("%d bytes are spare, too few to see anything", spare)
		}
		time.Sleep(2*memoryEvery + memoryEvery/2)
		synctest.Wait()
		if spare, _ := memoryUse(); spare > memorySpare {
			t.Errorf("%d bytes are still spare when nothing happens", spare)
		}
	})
}

// The limit is never so near to what is in use that the collector runs all the time, and never jumps. A control group limits it in any case.
func TestMemoryLimit(t *testing.T) {
	last := memoryLimit(0, math.MaxInt64)
	for used := int64(0); used < 4<<30; used += 1 << 20 {
		limit := memoryLimit(uint64(used), math.MaxInt64)
		if limit < memoryMost || limit < used+used/2 || limit-last > 2<<20 {
			t.Fatalf("with %d MiB in use the limit is %d MiB, after %d MiB", used>>20, limit>>20, last>>20)
		}
		if grouped := memoryLimit(uint64(used), 256<<20); grouped > 256<<20 || grouped != min(limit, 256<<20) {
			t.Fatalf("with %d MiB in use the limit in a control group is %d MiB", used>>20, grouped>>20)
		}
		last = limit
	}
}
