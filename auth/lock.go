package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
)

// lockBriefly is how long a caller that still has a valid token waits for the lock.
const lockBriefly = 10 * time.Second

// The holder of the lock may send three requests. This does not compile if they can take longer than others wait.
const _ = uint(grant.LockPatience - 3*wire.AnswerWithin)

// enter waits for the turn in this process. The caller must call leave when done.
func (a *Account) enter(ctx context.Context, op string) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, a.fail(op, context.Cause(ctx))
	}
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, a.fail(op, fmt.Errorf("%w while another request for the same account is under way", context.Cause(ctx)))
	}
}

// take waits for the turn in this process and then for the lock among all processes. To change the grant, or to send a
// request that may, a caller must hold both, by take or renewUnless.
func (a *Account) take(ctx context.Context, op string) (release func(), err error) {
	leave, err := a.enter(ctx, op)
	if err != nil {
		return nil, err
	}
	unlock, err := a.lock(ctx, op, grant.LockPatience)
	if err != nil {
		leave()
		return nil, err
	}
	return func() {
		unlock()
		leave()
	}, nil
}

// lock takes the lock of the store and waits at most patience. The caller must read the grant again afterwards. The
// error is an *Error.
func (a *Account) lock(ctx context.Context, op string, patience time.Duration) (unlock func(), err error) {
	limited, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not released within %s", patience))
	defer cancel()
	unlock, err = a.store.Lock(limited, a.name)
	if err == nil {
		return unlock, nil
	}
	e := a.fail(op, err)
	if limited.Err() != nil && ctx.Err() == nil {
		e.Fix = advice.Do("if that process hangs, end it")
	}
	return nil, e
}
