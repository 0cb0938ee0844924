package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
)

// lockBriefly is how long those wait for the lock who have a valid token to go on with.
const lockBriefly = 10 * time.Second

// A holder of the lock may send three requests: it does not compile where they outlast the patience of the others.
const _ = uint(grant.LockPatience - 3*wire.AnswerWithin)

// enter waits for the turn of the caller in this process, who must call the returned function when done.
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

// take waits for the turn of the caller in this process and then among all processes. Whoever changes the grant, or sends
// what may change it, must have called this or renewUnless.
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

// lock takes the lock of the store, for at most as long as patience. What was read before must be read again. Its error is
// an *Error.
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
