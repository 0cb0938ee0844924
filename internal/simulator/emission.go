package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxBehind is how late the emission may be before it forgets the past: a machine that slept does not burst.
const maxBehind = time.Second

// Emit sends a treat to everybody who is connected and keeps it in the history. An empty receiver, receiver type or date
// is filled in. It returns to how many sockets it was sent; 0 is no error. Calls are ordered: the history and every
// connection see the treats in the same order. A client that does not read delays it for at most 5 s, then it is cut.
// It returns an error, and keeps nothing, only when the server is closed.
func (s *Server) Emit(t Treat) (int, error) {
	if s.closed.Load() {
		return 0, fmt.Errorf("emit treat: %w", errClosed)
	}
	return s.emit(context.Background(), t, plain), nil
}

// EmitRaw sends payload as the event's first argument, as it is, valid JSON or not; empty means no argument. It is kept
// nowhere.
func (s *Server) EmitRaw(payload json.RawMessage) { s.emitRaw(context.Background(), payload) }

func (s *Server) emit(ctx context.Context, t Treat, form shape) int {
	t = t.filled(s.cfg.Receiver)
	s.emitMu.Lock()
	defer s.emitMu.Unlock()
	s.history.add(t)
	return s.hub.broadcast(ctx, form(t))
}

func (s *Server) emitRaw(ctx context.Context, payload json.RawMessage) {
	s.emitMu.Lock()
	defer s.emitMu.Unlock()
	s.hub.broadcast(ctx, payload)
}

// emitAll emits at the configured rate, with the configured faults, until ctx ends.
func (s *Server) emitAll(ctx context.Context) {
	arrivals := source(s.cfg.Seed, 1)
	kitchen := newKitchen(s.cfg.Seed)
	faults := newFaults(s.cfg)
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due = due.Add(time.Duration(arrivals.ExpFloat64() / s.cfg.Rate * float64(time.Second)))
		if now := time.Now(); now.Sub(due) > maxBehind {
			due = now
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if s.cfg.HoldWhileAway && s.hub.awaitClient(ctx) != nil {
			return
		}
		s.emitOne(ctx, kitchen, faults)
	}
}

// emitOne emits one treat of the kitchen and what the faults make of it.
func (s *Server) emitOne(ctx context.Context, k *kitchen, f *faults) {
	fate := f.next()
	if fate.garbage != nil {
		s.emitRaw(ctx, fate.garbage)
	}
	t := k.cook()
	if fate.adapt != nil {
		t = fate.adapt(t)
	}
	t = t.filled(s.cfg.Receiver)
	s.emit(ctx, t, fate.form)
	if fate.twice {
		s.emit(ctx, t, plain)
	}
	if fate.drop {
		s.hub.drop()
	}
}

// source is one of the independent streams of random numbers that a seed gives.
func source(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // G404: it must repeat, and guards nothing
}
