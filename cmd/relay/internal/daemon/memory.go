package daemon

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

// memoryShare is the share of the memory limit of a container or service that the garbage collector may use. The rest is for other memory.
const memoryShare = 0.8

// The garbage collector lets memory grow to twice the live heap, and a flood of large treats fills that within a moment. So that relay stays below
// 200 MiB, including the program and its file cache, the collector runs more often: at memoryMost, or at one and a half times what is in use if that
// is more. The limit grows with what is in use, because below it the collector would run all the time.
const memoryMost = 112 << 20

// A memoryTarget sets the memory limit of the garbage collector after each of its cycles.
type memoryTarget struct {
	most int64 // the limit of the control group, or math.MaxInt64
	over atomic.Bool
}

// LimitMemory makes the garbage collector work harder as relay comes near the memory limit of its control group, where it would be killed, and keeps
// a relay small that needs little, until ctx ends. If GOMEMLIMIT is set, it does nothing.
func LimitMemory(ctx context.Context, log zerolog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	t := &memoryTarget{most: math.MaxInt64}
	if limit, err := memlimit.FromCgroup(); err == nil {
		t.most = int64(float64(limit) * memoryShare)
		log.Debug().Int64("bytes", t.most).Msg("memory limit of the control group")
	} else {
		log.Debug().Err(err).Msg("the memory limit of the control group is not known")
	}
	t.set()
	t.follow()
	context.AfterFunc(ctx, func() { t.over.Store(true) })
}

// follow sets the limit after each cycle of the collector. Each cycle cleans up an object that nothing refers to.
func (t *memoryTarget) follow() {
	runtime.AddCleanup(new(*byte), func(t *memoryTarget) {
		if !t.over.Load() {
			t.set()
			t.follow()
		}
	}, t)
}

func (t *memoryTarget) set() {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/profiling/buckets:bytes"},
		{Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(samples)
	used := uint64(0)
	for _, s := range samples {
		used += s.Value.Uint64()
	}
	debug.SetMemoryLimit(memoryLimit(used, t.most))
}

// memoryLimit returns the limit for a process that uses so many bytes, and may use at most most.
func memoryLimit(used uint64, most int64) int64 {
	return min(most, max(memoryMost, int64(used+used/2))) //nolint:gosec // no process uses 2^62 bytes
}

// The garbage collector keeps about as much memory free as is in use, and a start or a flood leaves more. If that is much, and relay allocates so
// little that it would not need it for a minute, the memory is returned to the system.
const (
	memoryEvery = 15 * time.Second
	memorySpare = 64 << 20 // bytes that are always kept
)

// keepMemorySmall returns unused memory to the system until ctx ends.
func keepMemorySmall(ctx context.Context) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	_, before := memoryUse()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		spare, allocated := memoryUse()
		if spare > memorySpare && allocated-before < spare/4 {
			debug.FreeOSMemory()
		}
		_, before = memoryUse()
	}
}

// memoryUse returns how much heap memory the process holds in addition to what was live at the last cycle of the collector, and how much it has
// allocated in total, in bytes.
func memoryUse() (spare, allocated uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	held := uint64(0)
	for _, s := range samples[2:] {
		held += s.Value.Uint64()
	}
	if live := samples[1].Value.Uint64(); held > live {
		spare = held - live
	}
	return spare, samples[0].Value.Uint64()
}
