package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/historyhttp"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/socket"
)

// TreatEvent is the name of the event in which TreatStream sends a treat.
const TreatEvent = "realTimeTreat"

// A source receives the treats of one account.
type source struct {
	name    string
	account *auth.Account
	intake  *intake.Intake
	client  *socket.Client
	// history fills gaps; nil if the provider has none.
	history *intake.Reconciler
	conn    connTracker
	log     zerolog.Logger
}

// withheld returns how many treats of the history are withheld, see [intake.Reconciler.Withheld].
func (s *source) withheld() int {
	if s.history == nil {
		return 0
	}
	return s.history.Withheld()
}

// newIntake returns the intake of an account.
func (j *journalService) newIntake(c config.Account) *intake.Intake {
	return intake.New(intake.Config{
		Normalizer: intake.Normalizer{Account: c.Account, Provider: c.Provider.Name, Location: c.Location, KeepRaw: c.KeepRaw},
		Journal:    j.journal, Index: j.index, Logger: j.log, Metrics: j.metrics,
	})
}

// newSource returns the source of an account.
func (f *accountFactory) newSource(c config.Account, account *auth.Account) (*source, error) {
	log := f.log.With().Str("account", c.Account).Logger()
	s := &source{
		name: c.Account, account: account, log: log, intake: f.data.newIntake(c),
	}
	at := c.Provider.Endpoints.Socket
	if c.Endpoints.Socket != "" {
		at = c.Endpoints.Socket
	}
	past, err := historyhttp.New(c.Config, account, f.data.dir, f.providers)
	if err != nil {
		return nil, err
	}
	if past != nil {
		s.history = intake.NewReconciler(s.intake, past, intake.ReconcileConfig{Every: c.Reconcile, BackfillFirstRun: c.BackfillFirstRun, Logins: past})
	}
	config := f.socket.Client(&f.socketHolds)
	config.URL, config.Protocol, config.Query, config.Log = at, c.Protocol, s.query, log
	config.OnSkip = f.sourceMetrics.skipped.WithLabelValues(c.Account).Inc
	config.OnState = func(st socket.State) {
		f.sourceMetrics.observe(c.Account, st)
		s.conn.observe(st)
		if st.Phase == socket.Connected && !st.Upgraded && s.history != nil {
			s.history.Wake() // not earlier: from now on, treats arrive live
		}
	}
	s.client, err = socket.New(config)
	if err != nil {
		return nil, exit.With(exit.Config, fmt.Errorf("account %s: endpoints.socket: %w", c.Account, err))
	}
	return s, nil
}

// query is called before each dial. It updates the count of repeats, and returns a socket token, which works once.
func (s *source) query(ctx context.Context) (url.Values, error) {
	if err := s.intake.CatchUp(ctx); err != nil {
		return nil, err
	}
	token, err := s.account.SocketToken(ctx)
	if err != nil {
		return nil, err
	}
	return url.Values{"token": {token.Reveal()}}, nil
}

// beginLimit limits how long a source waits for the journal's state before it connects.
const beginLimit = 10 * time.Second

var errBeginLimit = errors.New("the state of the journal did not answer within 10 seconds")

// begin records durably from which moment on treats of the account count, before it connects for the first time.
func (s *source) begin(ctx context.Context) {
	if s.history == nil {
		return
	}
	bounded, cancel := context.WithTimeoutCause(ctx, beginLimit, errBeginLimit)
	defer cancel()
	if err := s.history.Begin(bounded); err != nil && ctx.Err() == nil {
		s.log.Error().Err(err).Msg("moment from which on treats of the account count is not on disk yet")
	}
}

// run receives treats until ctx ends. If the account needs a login, it waits for that.
func (s *source) run(ctx context.Context) error {
	for {
		other, err := s.receive(ctx)
		if ctx.Err() != nil {
			return err
		}
		if other && err == nil {
			s.log.Info().Msg("somebody has logged in: connects again with the new login")
			continue
		}
		if err == nil {
			return fmt.Errorf("receive treats of %s: the connection ended by itself", s.name)
		}
		var p interface{ Permanent() bool }
		if !errors.As(err, &p) || !p.Permanent() {
			return fmt.Errorf("receive treats of %s: %w", s.name, err)
		}
		s.conn.needLogin(err)
		s.log.Error().Err(err).Msg("account receives nothing until somebody logs in")
		if err := s.account.WaitActive(ctx); err != nil {
			return nil //nolint:nilerr // ctx ended
		}
		s.log.Info().Msg("account has a login again")
	}
}

// loginInterval is how often a source checks for another login.
const loginInterval = 2 * time.Second

var errOtherLogin = errors.New("there is another login")

// receive passes treats to the intake, until ctx ends, the connection fails for good, or there is another login, which may belong to another channel.
// other reports the last.
func (s *source) receive(ctx context.Context) (other bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop(nil)
	watch.Go(func() { s.watchLogin(ctx, stop) })
	err = s.client.Run(ctx, func(ctx context.Context, ev socket.Event) error {
		if ev.Name != TreatEvent {
			s.log.Debug().Str("event", ev.Name).Msg("event of another name ignored")
			return nil
		}
		return s.intake.Handle(ctx, ev.Args, ev.Received)
	})
	return errors.Is(context.Cause(ctx), errOtherLogin), err
}

// watchLogin calls stop once the account has another login.
func (s *source) watchLogin(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(loginInterval)
	defer tick.Stop()
	first, known := "", false
	for {
		if mark, err := s.account.LoginMark(); err == nil {
			if known && mark.ID != first {
				stop(errOtherLogin)
				return
			}
			first, known = mark.ID, true
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sourceMetrics are the metrics of the accounts' connections.
type sourceMetrics struct {
	connected *prometheus.GaugeVec
	attempts  *prometheus.CounterVec
	polling   *prometheus.GaugeVec
	skipped   *prometheus.CounterVec
}

// NewSourceMetrics registers the metrics of the accounts' connections.
func NewSourceMetrics(reg prometheus.Registerer) *sourceMetrics {
	m := &sourceMetrics{
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_account_connected", Help: "1 while the account's socket is connected.",
		}, []string{"account"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_account_connects_total", Help: "Connections of the account's socket that were established.",
		}, []string{"account"}),
		polling: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_account_polling", Help: "1 while the account's socket is connected by HTTP long-polling, because a WebSocket is not available.",
		}, []string{"account"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_account_skipped_messages_total", Help: "Messages of the realtime server that were skipped, because they are too large.",
		}, []string{"account"}),
	}
	reg.MustRegister(m.connected, m.attempts, m.polling, m.skipped)
	return m
}

func (m *sourceMetrics) observe(account string, st socket.State) {
	connected, polling := 0.0, 0.0
	if st.Phase == socket.Connected {
		connected = 1
		if st.Transport == socket.Polling {
			polling = 1
		}
		if !st.Upgraded {
			m.attempts.WithLabelValues(account).Inc()
		}
	}
	m.connected.WithLabelValues(account).Set(connected)
	m.polling.WithLabelValues(account).Set(polling)
}
