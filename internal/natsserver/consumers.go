package natsserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// consumers answers the overlays' requests about consumers, by asking JetStream on their behalf. It makes sure that a
// consumer pushes only to the overlay that asked for it, and that no overlay deletes another's durable consumer.
type consumers struct {
	own           *nats.Conn
	authenticator func() *authenticator // of the running server
	log           zerolog.Logger

	pushing atomic.Bool // a consumer that pushes may exist
}

const (
	askWithin = 10 * time.Second
	maxAsk    = 64 << 10 // bytes of a request
	// maxWaiting bounds the pending pull requests of a consumer.
	maxWaiting = 10_000
	// unusedFor is how long an unused consumer is kept, durable or not.
	unusedFor = 90 * 24 * time.Hour
)

// A refusal is the error sent to an overlay.
type refusal string

func (r refusal) Error() string { return string(r) }

// answer answers one request. Its subject has the overlay's account, which the overlay cannot choose.
func (c *consumers) answer(m *nats.Msg) {
	account, what, _ := strings.Cut(strings.TrimPrefix(m.Subject, askPrefix), ".")
	reply, err := c.ask(account, what, m.Data)
	if err != nil {
		code, kind := 503, "consumer"
		if refused, ok := errors.AsType[refusal](err); ok {
			code, err = 403, refused
		} else {
			c.log.Debug().Err(err).Msg("request of an overlay about a consumer was not answered")
			err = errNoAnswer
		}
		switch {
		case strings.Contains(what, "CREATE."):
			kind = "consumer_create"
		case strings.HasPrefix(what, "INFO."):
			kind = "consumer_info"
		case strings.HasPrefix(what, "DELETE."):
			kind = "consumer_delete"
		}
		reply, _ = json.Marshal(server.ApiResponse{
			Type: "io.nats.jetstream.api.v1." + kind + "_response", Error: &server.ApiError{Code: code, Description: err.Error()},
		})
	}
	if m.Reply != "" {
		_ = m.Respond(reply) // if this fails, nobody is waiting
	}
}

// ask forwards an overlay's request to JetStream.
func (c *consumers) ask(account, what string, body []byte) ([]byte, error) {
	if len(body) > maxAsk {
		return nil, refusal(fmt.Sprintf("the request is longer than %d bytes", maxAsk))
	}
	switch {
	case strings.HasPrefix(what, "INFO."):
	case strings.HasPrefix(what, "DELETE."):
		if err := c.checkDelete(strings.TrimPrefix(what, "DELETE."+Stream+".")); err != nil {
			return nil, err
		}
		return c.request(what, body)
	default:
		var err error
		if body, err = c.redirect(account, what, body); err != nil {
			return nil, err
		}
	}
	reply, err := c.request(what, body)
	if err != nil {
		return nil, err
	}
	var info server.JSApiConsumerCreateResponse // same as that of INFO
	if err := json.Unmarshal(reply, &info); err != nil || info.ConsumerInfo == nil || info.Config == nil || info.Config.DeliverSubject == "" {
		return reply, nil //nolint:nilerr // there is nothing in it to change
	}
	info.Config.DeliverSubject = inboxOf(info.Config.DeliverSubject)
	return json.Marshal(info)
}

func (c *consumers) request(what string, body []byte) ([]byte, error) {
	m, err := c.own.Request(consumerAPI+what, body, askWithin)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", what, err)
	}
	return m.Data, nil
}

// redirect makes a consumer push to the overlay that creates it, and limits it. The request is decoded as the server does.
func (c *consumers) redirect(account, what string, body []byte) ([]byte, error) {
	var q server.CreateConsumerRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, refusal("the request is no JSON of a consumer: " + err.Error())
	}
	config := &q.Config
	switch {
	case config.DeliverSubject == "":
	case !strings.HasPrefix(config.DeliverSubject, inboxPrefix):
		return nil, refusal("a consumer can deliver to an inbox only, whose subject begins with " + inboxPrefix)
	case config.DeliverGroup != "":
		return nil, refusal("a consumer that pushes cannot have a deliver_group here: use a pull consumer, which any number of overlays can share")
	}
	name := cmp.Or(config.Durable, config.Name)
	var old *server.ConsumerConfig
	if name != "" && strings.Contains(what+".", "."+name+".") {
		var err error
		if old, err = c.existing(name); err != nil {
			return nil, err
		}
	}
	if config.DeliverSubject != "" {
		if old != nil && inboxOf(old.DeliverSubject) == config.DeliverSubject {
			q.Action = server.ActionCreateOrUpdate // the same consumer, if the overlay has reconnected
		}
		c.authenticator().notePush(account)
		config.DeliverSubject = pushPrefix + account + "." + config.DeliverSubject
		c.pushing.Store(true)
	}
	switch {
	case old != nil && old.Durable != "": // it may belong to another overlay, which a short lifetime would deprive of it
		config.InactiveThreshold = old.InactiveThreshold
	case config.InactiveThreshold != 0:
	case config.Durable != "":
		config.InactiveThreshold = unusedFor
	}
	if config.AckPolicy != server.AckNone && config.MaxAckPending > maxAckPending {
		config.MaxAckPending = maxAckPending
	}
	config.MaxWaiting = min(config.MaxWaiting, maxWaiting)
	return json.Marshal(q)
}

// existing returns the configuration of a consumer, or nil if there is none.
func (c *consumers) existing(name string) (*server.ConsumerConfig, error) {
	reply, err := c.request("INFO."+Stream+"."+name, nil)
	if err != nil {
		return nil, err
	}
	var info server.JSApiConsumerInfoResponse
	if err := json.Unmarshal(reply, &info); err != nil {
		return nil, fmt.Errorf("read about the consumer: %w", err)
	}
	if info.ConsumerInfo == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	return info.Config, nil
}

// checkDelete refuses to delete a durable consumer, which may belong to another overlay.
func (c *consumers) checkDelete(name string) error {
	old, err := c.existing(name)
	if err == nil && old != nil && old.Durable != "" {
		err = refusal(fmt.Sprintf("an overlay cannot delete a durable consumer, which may be another's; it goes by itself when nobody has used it for %d days", int(unusedFor.Hours()/24)))
	}
	return err
}

// inboxOf returns the subject that a consumer delivers to as the overlay knows it.
func inboxOf(deliver string) string {
	if rest, ok := strings.CutPrefix(deliver, pushPrefix); ok {
		_, deliver, _ = strings.Cut(rest, ".")
	}
	return deliver
}

// accountOf returns the overlay's account in such a subject.
func accountOf(deliver string) string {
	account, _, _ := strings.Cut(strings.TrimPrefix(deliver, pushPrefix), ".")
	return account
}

// follow redirects consumers whose overlay is gone to the overlay that listens on their inbox now, after a reconnect.
func (c *consumers) follow(ctx context.Context) error {
	if !c.pushing.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askWithin, errNoAnswer)
	defer cancel()
	js, err := jetstream.New(c.own)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.pushing.Store(false) // a new consumer may set it again
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.DeliverSubject == "" {
			continue
		}
		c.pushing.Store(true)
		inbox := inboxOf(info.Config.DeliverSubject)
		c.authenticator().notePush(accountOf(info.Config.DeliverSubject))
		account := ""
		if !info.PushBound {
			account = c.authenticator().subscriber(inbox)
		}
		if account == "" {
			continue
		}
		c.authenticator().notePush(account)
		config := info.Config
		config.DeliverSubject = pushPrefix + account + "." + inbox
		if _, err := stream.UpdatePushConsumer(ctx, config); err != nil {
			c.log.Debug().Err(err).Str("consumer", cmp.Or(config.Durable, info.Name)).Msg("a consumer does not follow its overlay")
		}
	}
	return list.Err()
}
