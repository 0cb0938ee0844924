package daemon

import (
	"context"
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
