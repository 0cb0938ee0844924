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

// memoryShare is the part of the memory that a container or service is given which the collector may fill. The rest is for what is not its own.
const memoryShare = 0.8

// The collector lets memory grow to twice of what lives, and a flood of large treats fills that within a moment. A relay of which less than
// memorySmall is in use is to stay below 200 MiB, the program itself and its files included: the collector works more often as it comes near
// memoryMost. Above that nothing but the control group limits it, for then the collector would be busy all the time.
const (
	memorySmall = 128 << 20
	memoryMost  = 160 << 20
)

// A memoryTarget sets the memory limit of the collector after each of its cycles.
type memoryTarget struct {
	most int64 // the limit of the control group, or none
	over atomic.Bool
}

// LimitMemory makes the collector work harder as relay comes near the memory limit of its control group, instead of being killed there, and keeps it small
// until ctx ends. GOMEMLIMIT in the environment goes before: then nothing is done.
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

// follow sets the limit after the collector's next cycle, and so on: what nothing refers to is cleaned up by each.
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
	limit := t.most
	if used < memorySmall {
		limit = min(limit, memoryMost)
	}
	debug.SetMemoryLimit(limit)
}

// The collector keeps about as much memory free as is in use, and a start or a flood leaves more. Where that is a lot, and so little
// happens that it would not be used for a minute, it goes back to the system.
const (
	memoryEvery = 15 * time.Second
	memorySpare = 64 << 20 // bytes that are kept in any case
)

// keepMemorySmall gives memory back until ctx ends.
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

// memoryUse is how much memory of the heap the process holds beside what was in use when the collector last ran, and how much it has
// allocated in all, in bytes.
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
