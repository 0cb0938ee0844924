package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/sinks"
)

// pingLimit is more than a webhook takes to answer twice, as it does where a token has to be renewed.
const pingLimit = 90 * time.Second

// sinkTrack looks at a sink that sends something somewhere.
func (d *doctor) sinkTrack(s config.Sink) track {
	c := check{name: s.Type, subject: s.Name, limit: networkLimit}
	switch config := s.Config.(type) {
	case *sinks.NATSConfig:
		c.look = func(ctx context.Context) Finding { return d.natsSink(ctx, s.Name, config) }
	case *sinks.WebhookConfig:
		if d.ping {
			c.limit = pingLimit
		}
		c.look = func(ctx context.Context) Finding { return d.webhook(ctx, s, config) }
	case *sinks.DiscordConfig:
		c.look = func(ctx context.Context) Finding { return askDiscord(ctx, s.Name, config) }
	case *sinks.SlackConfig:
		c.look = func(ctx context.Context) Finding {
			f := reachSink(ctx, s.Name, config)
			if f.State != Fault {
				f.Detail += "; whether Slack knows the webhook shows only with a message"
			}
			return f
		}
	default:
		return nil
	}
	look := c.look
	c.look = func(ctx context.Context) Finding { return d.laneOf(ctx, s.Name, look(ctx)) }
	return track{c}
}

// laneOf adds to what was found of a sink what the relay that runs knows: that its destination refuses what it is sent shows only there.
func (d *doctor) laneOf(ctx context.Context, name string, f Finding) Finding {
	if f.State == Fault || !d.runs {
		return f
	}
	status, err := api.GetStatus(ctx, d.dir)
	if err != nil {
		return f // another check says it
	}
	for _, lane := range status.Sinks {
		switch {
		case lane.Sink != name:
		case lane.State == api.StateDown:
			return faulty("correct what it names, at the receiver or in sinks."+name+"; its events wait, and go out by themselves",
				"%s; but it is down since %s: %s", f.Detail, text.Stamp(lane.Since), lane.Reason)
		case lane.State == api.StateDisabled:
			return warned("relay sinks enable "+name+", when the destination is right again", "%s; but it is disabled since %s: %s", f.Detail, text.Stamp(lane.Since), lane.Reason)
		}
	}
	return f
}

// A reacher is a destination that can be connected to without a request.
type reacher interface {
	Reach(ctx context.Context) (sinks.Reached, error)
}

// reachSink connects to where a sink sends, and looks at the certificate.
func reachSink(ctx context.Context, name string, to reacher) Finding {
	r, err := to.Reach(ctx)
	switch {
	case err != nil:
		return unreached(name, err)
	case r.Proxy:
		return fine("the proxy %s takes connections; what is behind it shows only with --ping", r.Host)
	case r.TLS == "":
		return fine("%s takes connections, without TLS", r.Host)
	}
	f := certificate(r.TLS, r.Expires, time.Now())
	f.Detail = r.Host + " takes connections, " + f.Detail
	return f
}

// unreached is about a destination that cannot be connected to.
func unreached(name string, err error) Finding {
	at := "sinks." + name
	if wrong, ok := errors.AsType[*sinks.FieldError](err); ok {
		return faulty("correct "+at+"."+wrong.Field+" in the configuration", "%v", err).coded(exit.Config)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return faulty("correct the name in "+at+".url, or the DNS of this machine", "%v", err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return faulty("have the certificate renewed; if it is your own, set "+at+".tls_ca_file", "%v", err)
	}
	return faulty("start the receiver or change "+at+".url", "%v", err)
}

func askDiscord(ctx context.Context, name string, c *sinks.DiscordConfig) Finding {
	if f := reachSink(ctx, name, c); f.State == Fault {
		return f
	}
	title, err := c.Ask(ctx, version.UserAgent())
	if err != nil {
		return faulty("make a new webhook in the settings of the channel and set sinks."+name+".url", "%v", err)
	}
	return fine("Discord knows the webhook as %q", title)
}

// webhook connects to the receiver, and sends it a test treat if the user has agreed to that.
func (d *doctor) webhook(ctx context.Context, s config.Sink, c *sinks.WebhookConfig) Finding {
	f := reachSink(ctx, s.Name, c)
	switch {
	case f.State == Fault:
		return f
	case !d.ping:
		f.Detail += "; nothing was sent"
		return f
	case s.Lane.SkipTests:
		f.Detail += "; nothing was sent, since it takes no tests"
		return f
	}
	attempt, err := d.pingWebhook(ctx, s)
	if _, wrong := errors.AsType[*sinks.FieldError](err); wrong {
		return unreached(s.Name, err)
	}
	if err != nil {
		return faulty("mend the receiver; README.md has what its answers mean", "%v", err)
	}
	f.Detail += fmt.Sprintf("; it answers a test treat with status %d in %v", attempt.Status, attempt.Latency.Round(time.Millisecond))
	return f
}

// pingWebhook delivers one test treat as the sink delivers any, but past the journal.
func (d *doctor) pingWebhook(ctx context.Context, s config.Sink) (last pipeline.Attempt, err error) {
	sink, err := s.Config.Open(ctx, sinks.Env{
		Name: s.Name, UserAgent: version.UserAgent(), Log: zerolog.Nop(), Bearer: d.bearer,
		Attempt: func(a pipeline.Attempt) { last = a },
	})
	if err != nil {
		return last, err
	}
	from := intake.Normalizer{Account: "doctor", Provider: "treatstream", Location: time.UTC}
	for _, c := range d.cfg.Accounts {
		if c.Receives() {
			from.Account, from.Provider, from.Location = c.Account, c.Provider.Name, c.Location
			break
		}
	}
	event := from.TestEvent(time.Now(), "relay", "Test treat", "Sent by relay doctor.")
	line, err := event.Line()
	if err != nil {
		return last, errors.Join(err, sink.Close())
	}
	r := pipeline.Record{
		ID: event.ID, Account: event.Data.Account, Provider: event.Data.Provider, Origin: event.Origin, Type: event.Type, Line: line,
	}
	_, err = sink.Deliver(ctx, []pipeline.Record{r})
	return last, errors.Join(err, sink.Close())
}

// bearer finds the account whose tokens a webhook sends.
func (d *doctor) bearer(name string) (sinks.Bearer, error) {
	for _, c := range d.cfg.Accounts {
		if c.Account == name && d.store != nil {
			account, err := grants.NewAccount(c, d.store, nil, nil, zerolog.Nop())
			return grants.NewBearer(func() (*auth.Account, error) { return account, nil }), err
		}
	}
	return nil, fmt.Errorf("account %q has no login yet", name)
}

// natsSink looks at the stream a sink publishes to.
func (d *doctor) natsSink(ctx context.Context, name string, c *sinks.NATSConfig) Finding {
	if c.URL.Empty() {
		return d.ownNATS(ctx, c.Stream)
	}
	server, info, err := c.Look(ctx, name)
	at := "sinks." + name
	if wrong, ok := errors.AsType[*sinks.FieldError](err); ok {
		return faulty("correct "+at+"."+wrong.Field+" in the configuration", "%v", err).coded(exit.Config)
	}
	_, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case distrusted:
		return faulty("have the certificate renewed; if it is your own, set "+at+".tls_ca_file", "%v", err)
	case errors.Is(err, nats.ErrAuthorization):
		return faulty("correct the login of "+at+" in the configuration", "%v", err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return faulty("let the login use $JS.API.STREAM.INFO, CREATE and UPDATE of the stream and subscribe to _INBOX.>", "%v", err)
	case err != nil && datadir.Away(err):
		return faulty("start the server or change "+at+".url", "%v", err)
	case err != nil:
		return faulty("mend the stream or change "+at+".stream and subject", "%v", err)
	}
	return streamFinding(server, c.Stream, info)
}

func streamFinding(server, stream string, info *jetstream.StreamInfo) Finding {
	if info == nil {
		return fine("connected to %s; stream %s is not there yet, and may be made", server, stream)
	}
	return fine("connected to %s; stream %s has %d messages", server, stream, info.State.Msgs)
}

// ownNATS connects to relay's own server as an overlay backend does.
func (d *doctor) ownNATS(ctx context.Context, stream string) Finding {
	if !d.runs {
		return skipped("relay's own server runs only while relay does")
	}
	at := reachable(d.cfg.NATS.Listen)
	if _, port, err := net.SplitHostPort(at); err != nil || port == "0" {
		return skipped("nats.listen leaves the port to chance")
	}
	login, err := datadir.ReadOverlayLogin(d.dir)
	if err != nil {
		return faulty("delete the file and restart relay, and give the new login to the overlay backends", "%v", err)
	}
	nc, err := nats.Connect("nats://"+at, nats.UserInfo(login.User, login.Password), nats.NoReconnect(), nats.Timeout(api.Timeout), nats.Name("relay doctor"))
	if err != nil {
		return faulty("restart relay, which reads nats.listen and the overlay login when it starts", "connect to %s as an overlay backend: %v", at, err)
	}
	defer nc.Close()
	if stream != natsserver.Stream {
		return fine("connected to %s; the overlay login may not look at stream %s", at, stream)
	}
	info, err := sinks.LookAtStream(ctx, nc, stream)
	if err != nil {
		return faulty("restart relay, which makes the stream when it starts", "stream %s on %s: %v", stream, at, err)
	}
	return streamFinding(at, stream, info)
}
