package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// request sends a message to be stored and returns the answer.
func (c *client) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	lost, err := c.connected()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ackTime, errNoAnswer)
	defer cancel()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() { // nats.go does not cancel a request when its connection is lost
		defer close(watched)
		select {
		case <-lost:
			abort(errLost)
		case <-ended:
		}
	}()
	answer, err := c.nc.RequestMsgWithContext(ctx, msg)
	close(ended)
	<-watched
	return answer, c.answered(ctx, err)
}

// api sends an idempotent request to the JetStream API. answer may be nil. A refusal is a [natsjs.APIError].
func (c *client) api(ctx context.Context, subject string, request, answer any) error {
	var data []byte
	if request != nil {
		var err error
		if data, err = json.Marshal(request); err != nil {
			return fmt.Errorf("encode a request: %w", err)
		}
	}
	subject, inbox := "$JS.API."+subject, c.nc.NewInbox()
	answers, err := c.listen(ctx, inbox, int(apiTime/apiAgain)+1)
	if err != nil {
		return err
	}
	defer answers.end()
	again := time.NewTicker(apiAgain)
	defer again.Stop()
	answers.idle.Reset(apiTime)
	for {
		if err := c.nc.PublishRequest(subject, inbox, data); err != nil {
			return c.answered(ctx, err)
		}
		select {
		case m := <-answers.ch:
			_ = c.answered(ctx, nil) // any response counts as an answer
			return readAnswer(m, answer)
		case <-answers.lost:
			return errLost
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-answers.idle.C:
			return c.answered(ctx, errNoAnswer)
		case <-again.C:
		}
	}
}

func readAnswer(msg *nats.Msg, answer any) error {
	if msg.Header.Get("Status") == "503" {
		return errNoResponders
	}
	var refused struct {
		Error *natsjs.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &refused); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if refused.Error != nil {
		return refused.Error
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// refusedWith reports whether the server has refused with one of these codes.
func refusedWith(err error, codes ...natsjs.ErrorCode) bool {
	refused, ok := errors.AsType[*natsjs.APIError](err)
	return ok && slices.Contains(codes, refused.ErrorCode)
}

// ask publishes messages all at once and calls visit with each answer and the index of its message. It fails when no
// answer arrives for a while.
func (c *client) ask(ctx context.Context, msgs []*nats.Msg, visit func(i int, answer *nats.Msg) error) error {
	inbox := c.nc.NewInbox()
	answers, err := c.listen(ctx, inbox+".*", len(msgs))
	if err != nil {
		return err
	}
	defer answers.end()
	for i, m := range msgs {
		m.Reply = inbox + "." + strconv.Itoa(i)
		if err := c.nc.PublishMsg(m); err != nil {
			return c.answered(ctx, err)
		}
	}
	for range msgs {
		m, err := answers.next(ctx)
		if err != nil {
			return err
		}
		i, err := strconv.Atoi(m.Subject[len(inbox)+1:])
		if err != nil || i >= len(msgs) {
			return fmt.Errorf("an answer to %s, which was not asked for", m.Subject)
		}
		if err := visit(i, m); err != nil {
			return err
		}
	}
	return nil
}

// answers receives the answers to one or more requests.
type answers struct {
	link *client
	sub  *nats.Subscription
	ch   chan *nats.Msg
	lost <-chan struct{}
	idle *time.Timer
}

// listen starts to receive answers, at most most of them.
func (c *client) listen(ctx context.Context, subject string, most int) (*answers, error) {
	lost, err := c.connected()
	if err != nil {
		return nil, err
	}
	ch := make(chan *nats.Msg, most)
	sub, err := c.nc.ChanSubscribe(subject, ch)
	if err != nil {
		return nil, c.answered(ctx, err)
	}
	return &answers{link: c, sub: sub, ch: ch, lost: lost, idle: time.NewTimer(ackTime)}, nil
}

func (a *answers) end() {
	a.idle.Stop()
	_ = a.sub.Unsubscribe() // it may be gone with the connection
}

// next returns the next answer.
func (a *answers) next(ctx context.Context) (*nats.Msg, error) {
	select { // the common case, without touching the timer
	case m := <-a.ch:
		return m, nil
	default:
	}
	a.idle.Reset(ackTime)
	select {
	case m := <-a.ch:
		return m, a.link.answered(ctx, nil)
	case <-a.lost:
		return nil, errLost
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-a.idle.C:
		return nil, a.link.answered(ctx, errNoAnswer)
	}
}
