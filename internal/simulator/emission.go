package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxBehind is how late the emission may be before it skips what is overdue, so that a machine that was suspended sends
// no burst.
const maxBehind = time.Second

// Emit sends a treat to all connected clients and adds it to the history. It fills in an empty receiver, receiver type
// or date. It returns the number of sockets that it was sent to; 0 is not an error. The history and every connection get
// treats in the same order, that of the calls. A client that does not read delays Emit by at most 5 s and is then
// disconnected. Emit fails, without an effect, only if the server is closed.
func (s *Server) Emit(t Treat) (int, error) {
	if s.closed.Load() {
		return 0, fmt.Errorf("emit treat: %w", errClosed)
	}
	return s.emit(context.Background(), t, plain), nil
}

// EmitRaw sends payload unchanged as the event's first argument, valid JSON or not. Empty: no argument. It does not add
// it to the history.
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
	generator := newGenerator(s.cfg.Seed)
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
		s.emitOne(ctx, generator, faults)
	}
}

// emitOne emits one generated treat, with the faults that apply to it.
func (s *Server) emitOne(ctx context.Context, g *generator, f *faults) {
	fate := f.next()
	if fate.garbage != nil {
		s.emitRaw(ctx, fate.garbage)
	}
	t := g.next()
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

// source returns one of the independent streams of random numbers of a seed.
func source(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // G404: it must be reproducible, and protects nothing
}
