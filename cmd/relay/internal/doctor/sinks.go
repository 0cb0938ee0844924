package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
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
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/webhook"
)

// pingLimit is longer than a webhook takes to answer twice, as it does if its token has to be renewed.
const pingLimit = 90 * time.Second

// A sinkChecker is a sink's configuration that can check its destination without delivering anything. Its error may be a fixer.
type sinkChecker interface {
	Check(ctx context.Context, of sinks.Checkup) (sinks.CheckResult, error)
}

// An uncheckedSink is a sink's configuration that has no check. Unchecked returns why.
type uncheckedSink interface{ Unchecked() string }

// An ownServerSink is a sink's configuration that may publish to relay's own NATS server. OwnStream returns the stream, or "" for another server.
type ownServerSink interface{ OwnStream() string }

// A pingableSink is a sink's configuration whose destination may receive a test treat if the user agrees.
type pingableSink interface{ TakesPing() bool }

// sinkTrack returns the check of a sink; nil if it is an uncheckedSink.
func (d *doctor) sinkTrack(s config.Sink) track {
	if _, none := s.Config.(uncheckedSink); none {
		return nil
	}
	c := check{name: s.Type, subject: s.Name, limit: networkLimit}
	if d.ping && takesPing(s) {
		c.limit = pingLimit
	}
	c.do = func(ctx context.Context) Finding { return d.laneOf(ctx, s.Name, d.checkSink(ctx, s)) }
	return track{c}
}

func takesPing(s config.Sink) bool {
	p, ok := s.Config.(pingableSink)
	return ok && p.TakesPing()
}

// checkSink checks the destination of a sink, and sends it a test treat if the user has agreed to that.
func (d *doctor) checkSink(ctx context.Context, s config.Sink) Finding {
	if own, ok := s.Config.(ownServerSink); ok && own.OwnStream() != "" {
		return d.ownNATS(ctx, own.OwnStream())
	}
	checker, ok := s.Config.(sinkChecker)
	if !ok {
		return skipped("a sink of type %s has no check", s.Type)
	}
	result, err := checker.Check(ctx, sinks.Checkup{Name: s.Name, UserAgent: version.UserAgent()})
	if err != nil {
		return sinkFault(s.Name, err)
	}
	f := sinkFinding(result)
	if takesPing(s) {
		f = d.pingSink(ctx, s, f)
	}
	return f
}

// laneOf adds what only the running relay knows of a sink: whether its destination accepts events.
func (d *doctor) laneOf(ctx context.Context, name string, f Finding) Finding {
	if f.State == Fault || !d.runs {
		return f
	}
	status, err := api.GetStatus(ctx, d.dir)
	if err != nil {
		return f // another check reports it
	}
	for _, lane := range status.Sinks {
		switch {
		case lane.Sink != name:
		case lane.State == api.StateDown:
			return faulty(advice.Do("correct what it names, at the receiver or in sinks."+name+"; its events wait, and go out by themselves"),
				"%s; but it is down since %s: %s", f.Detail, text.Stamp(lane.Since), lane.Reason)
		case lane.State == api.StateDisabled:
			return warned(advice.Fix{Before: "when the destination is right again, run: ", Command: "relay sinks enable " + name},
				"%s; but it is disabled since %s: %s", f.Detail, text.Stamp(lane.Since), lane.Reason)
		}
	}
	return f
}

// sinkFinding returns the finding of a successful check.
func sinkFinding(found sinks.CheckResult) Finding {
	f := Finding{State: OK, Detail: found.Detail}
	switch r := found.Reached; {
	case f.Detail != "":
	case r.Proxy:
		f.Detail = "the proxy " + r.Host + " takes connections; what is behind it shows only with --ping"
	case r.TLS == "":
		f.Detail = r.Host + " takes connections, without TLS"
	default:
		f = certificate(r.TLS, r.Expires, time.Now())
		f.Detail = r.Host + " takes connections, " + f.Detail
	}
	if found.Note != "" {
		f.Detail += "; " + found.Note
	}
	return f
}

// sinkFault returns the finding of a failed check.
func sinkFault(name string, err error) Finding {
	at := "sinks." + name
	if wrong, ok := errors.AsType[*sinks.FieldError](err); ok {
		return faulty(advice.Do("correct "+at+"."+wrong.Field+" in the configuration"), "%v", err).coded(exit.Config)
	}
	if own, ok := errors.AsType[fixer](err); ok {
		return faulty(advice.Do(own.Fix()), "%s", strings.TrimSuffix(err.Error(), "; "+own.Fix()))
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return faulty(advice.Do("correct the name in "+at+".url, or the DNS of this machine"), "%v", err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return faulty(advice.Do("have the certificate renewed; if it is your own, set "+at+".tls_ca_file"), "%v", err)
	}
	return faulty(advice.Do("start the receiver or change "+at+".url"), "%v", err)
}

// pingSink adds the destination's answer to a test treat, if the user has agreed to one.
func (d *doctor) pingSink(ctx context.Context, s config.Sink, f Finding) Finding {
	switch {
	case !d.ping:
		f.Detail += "; nothing was sent"
		return f
	case s.Lane.SkipTests:
		f.Detail += "; nothing was sent, since it takes no tests"
		return f
	}
	attempt, err := d.deliverTest(ctx, s)
	if _, wrong := errors.AsType[*sinks.FieldError](err); wrong {
		return sinkFault(s.Name, err)
	}
	if err != nil {
		return faulty(advice.Do("repair the receiver; docs/sinks.md has what its answers mean"), "%v", err)
	}
	f.Detail += fmt.Sprintf("; it answers a test treat with status %d in %v", attempt.Status, attempt.Latency.Round(time.Millisecond))
	return f
}

// deliverTest delivers one test treat through the sink, without the journal, and returns the last attempt.
func (d *doctor) deliverTest(ctx context.Context, s config.Sink) (last pipeline.Attempt, err error) {
	sink, err := sinks.Open(ctx, s.Config, sinks.Env{
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

// bearer returns the tokens of the account of that name, for a webhook that sends them.
func (d *doctor) bearer(name string) (webhook.Bearer, error) {
	for _, c := range d.cfg.Accounts {
		if c.Account == name && d.store != nil {
			account, err := grants.NewAccount(c, d.store, nil, nil, zerolog.Nop())
			return grants.NewBearer(func() (*auth.Account, error) { return account, nil }), err
		}
	}
	return nil, fmt.Errorf("account %q has no login yet", name)
}

// ownNATS connects to relay's own NATS server as an overlay backend does.
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
		return faulty(advice.Do("delete the file and restart relay, and give the new login to the overlay backends"), "%v", err)
	}
	nc, err := nats.Connect("nats://"+at, nats.UserInfo(login.User, login.Password), nats.NoReconnect(), nats.Timeout(api.Timeout), nats.Name("relay doctor"))
	if err != nil {
		return faulty(advice.Do("restart relay, which reads nats.listen and the overlay login when it starts"), "connect to %s as an overlay backend: %v", at, err)
	}
	defer nc.Close()
	if stream != natsserver.Stream {
		return fine("connected to %s; the overlay login may not look at stream %s", at, stream)
	}
	detail, err := natssink.CheckStream(ctx, nc, at, stream)
	if err != nil {
		return faulty(advice.Do("restart relay, which makes the stream when it starts"), "%v", err)
	}
	return Finding{State: OK, Detail: detail}
}
