package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
)

// batches tracks the backfill batches of an account.
type batches struct {
	// due is true unless a batch covers every event that this process or an earlier one has backfilled.
	due    bool
	logged string // the last failure that was logged; empty: none
	// compared is true once a comparison of this process has healed what the log has lost.
	compared bool
	// lost holds the batches that the log had lost when the current backfill began.
	lost map[journal.Range]uint64
}

// batchLimit bounds the writing of backfill batches on a slow disk.
const batchLimit = 5 * time.Minute

var errBatchLimit = errors.New("it takes more than 5 minutes")

// writeBatches journals a batch entry for everything backfilled since the last one. If this process is killed before that, the next
// one does it.
func (r *Reconciler) writeBatches(ctx context.Context) error {
	if !r.batches.due || ctx.Err() != nil {
		return nil
	}
	bounded, cancel := context.WithTimeoutCause(ctx, batchLimit, errBatchLimit)
	defer cancel()
	err := r.tryWriteBatches(bounded)
	for errors.Is(err, index.ErrDamaged) {
		err = r.tryWriteBatches(bounded)
	}
	if err == nil {
		r.batches.due = false
		if r.batches.logged != "" {
			r.batches.logged = ""
			r.log.Info().Msg("backfilled treats get digests again")
		}
		return nil
	}
	if ctx.Err() != nil {
		return err // shutting down
	}
	level := zerolog.DebugLevel
	if text := err.Error(); text != r.batches.logged {
		level, r.batches.logged = zerolog.WarnLevel, text
	}
	r.log.WithLevel(level).Err(err).Msg("backfilled treats have no digest yet: sinks with backfill: digest get it after the next comparison")
	return fmt.Errorf("journal the backfill batch of %s: %w", r.intake.norm.Account, err)
}

func (r *Reconciler) tryWriteBatches(ctx context.Context) error {
	in := r.intake
	if _, err := in.backlog.wait(ctx); err != nil { // items still on their way to the disk must be in the batch
		return err
	}
	if err := in.index.CatchUp(ctx); err != nil {
		return err
	}
	if err := r.newBatch(ctx); err != nil {
		return err
	}
	// Until a sink has processed a lost batch, it counts the treats that replace lost ones when it reads the replacement
	// batch. So that batch must come first, and the lost treats before any batch.
	if !r.batches.compared && r.cfg.Every > 0 {
		return nil
	}
	return r.rewriteLostBatches(ctx)
}

// newBatch journals a batch of everything that no batch covers.
func (r *Reconciler) newBatch(ctx context.Context) error {
	in := r.intake
	s := in.index.Account(in.norm.Account)
	if s.Backfilled <= s.Batched {
		return nil
	}
	rng := journal.Range{}
	err := in.index.Backfilled(ctx, in.norm.Account, s.Batched, time.Time{}, func(h *index.Hit) bool {
		if rng.First == 0 || h.Number < rng.First {
			rng.First = h.Number
		}
		rng.Last = max(rng.Last, h.Number)
		return true
	})
	if err != nil || rng.Last == 0 {
		return err
	}
	return r.writeBatch(ctx, rng, 0)
}

// rewriteLostBatches journals lost batches again if the log has some of their events.
func (r *Reconciler) rewriteLostBatches(ctx context.Context) error {
	in := r.intake
	lost, err := in.index.LostBatches(ctx, in.norm.Account)
	if err != nil || len(lost) == 0 {
		return err
	}
	ranges := make([]journal.Range, 0, len(lost))
	for rng := range lost {
		ranges = append(ranges, rng)
	}
	slices.SortFunc(ranges, func(a, b journal.Range) int { return int(int64(a.First) - int64(b.First)) }) //nolint:gosec // not that far apart
	for _, rng := range ranges {
		some := false
		err := in.index.Backfilled(ctx, in.norm.Account, rng.First-1, time.Time{}, func(h *index.Hit) bool {
			some = some || h.Number <= rng.Last
			return !some
		})
		if err != nil {
			return err
		}
		if some {
			if err := r.writeBatch(ctx, rng, lost[rng]); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeBatch journals a batch and waits until it is on disk. If ref is not 0, the batch replaces that entry. If ctx ends
// first, the next call of writeBatches waits for it.
func (r *Reconciler) writeBatch(ctx context.Context, rng journal.Range, ref uint64) error {
	in := r.intake
	data, err := pipeline.EncodeJSON(journal.BackfillBatch{Account: in.norm.Account, Provider: in.norm.Provider, Range: rng})
	if err != nil {
		return fmt.Errorf("encode a backfill batch: %w", err)
	}
	id := "heal_" + in.norm.Account + "_" + strconv.FormatUint(rng.First, 10) + "_" + strconv.FormatUint(rng.Last, 10)
	if ref > 0 {
		id += "_" + strconv.FormatUint(ref, 10)
	}
	entry := journal.Entry{
		Kind: journal.Backfill, ID: id, Account: in.norm.Account, Provider: in.norm.Provider, Origin: pipeline.OriginBackfill, Ref: ref, Data: data,
	}
	if err := in.queueBatch(ctx, entry); err != nil {
		return err
	}
	_, err = in.backlog.wait(ctx)
	return err
}

// queueBatch queues the entry under the lock, since the backlog counts in the order of the journal.
func (in *Intake) queueBatch(ctx context.Context, entry journal.Entry) error {
	release, err := in.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	in.backlog.add()
	if err := in.journal.Enqueue(ctx, journal.Item{Entry: entry, Received: time.Now(), Done: in.backlog.wrote}); err != nil {
		in.backlog.undo()
		return err
	}
	return nil
}
