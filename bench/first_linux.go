package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A first is a relay that has delivered its first treat.
type first struct {
	*relay
	emitter *emitter
	took    time.Duration // from its start to the treat on its stdout
	stop    func()
}

// startToFirst starts relay, with stdout as its only sink, against a server that sends a treat to each new connection.
// rest counts the treats after the first one; it may be nil.
func (b *bench) startToFirst(ctx context.Context, s setup, rest *tally) (*first, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("no end within five minutes"))
	e, err := b.startEmitter(ctx, 0)
	if err != nil {
		cancel()
		return nil, err
	}
	f := &first{emitter: e, stop: func() { e.stop(); cancel() }}
	if err := f.run(ctx, b, s, rest); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// consoleSink is the configuration of a sink that writes to stdout.
const consoleSink = "  console: {type: stdout}"

func (f *first) run(ctx context.Context, b *bench, s setup, rest *tally) error {
	if err := f.emitter.greet(); err != nil {
		return err
	}
	treat := newTally(1)
	all := treat
	if rest != nil {
		all, rest.before = rest, treat
	}
	in, err := all.pipe()
	if err != nil {
		return err
	}
	s.sinks, s.stdout = consoleSink, in
	if f.relay, err = b.startRelay(ctx, f.emitter.url(), s); err != nil {
		_ = in.Close()
		return err
	}
	end := f.stop
	f.stop = func() { f.relay.stop(); _ = in.Close(); end() }
	if err := treat.wait(ctx); err != nil {
		return fmt.Errorf("%w; stderr of relay:\n%s", err, f.stderr)
	}
	f.took = treat.first.Sub(f.began)
	return nil
}
