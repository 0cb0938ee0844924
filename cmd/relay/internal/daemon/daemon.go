// Package daemon runs relay: it wires accounts, journal and sinks together, reloads the configuration, and serves the local API, health and
// metrics.
package daemon

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/configview"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/historyhttp"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// DrainTime is how long a stopping relay still delivers the events it has. With the time to close everything, relay has exited within 10 s, when
// service managers kill it.
const DrainTime = 7 * time.Second

// Options configure a relay.
type Options struct {
	Config   *config.Config
	Dir      string    // the data folder
	Out      io.Writer // where sinks of type stdout write
	Notice   io.Writer // where people read what is shown once, such as a new password
	Getenv   func(string) (string, bool)
	Identity store.IdentityOptions // what tokens are sealed with
	Reload   *Reloader             // nil: the configuration is never reloaded
	// Simulation: the treats are invented. Then the pages may have any port, and their addresses with a login are printed to Notice.
	Simulation bool
	Pages      *Pages // nil: the HTTP server listens where the configuration says
	Log        zerolog.Logger
}

// Run locks the data folder and runs relay in it, until ctx ends or relay cannot continue. It returns nil if ctx ended and everything was delivered
// or journaled. An error has the exit code of the command, see the package exit.
func Run(ctx context.Context, o Options) (err error) {
	lock, err := datadir.Lock(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := datadir.CheckTree(o.Dir); err != nil {
		return err
	}
	historyhttp.RemoveTempFiles(o.Dir)
	j, err := newJob(ctx, o)
	if err != nil {
		return err
	}
	return j.serve(ctx, o.Reload)
}

// A job is a relay with everything that it consists of.
type job struct {
	log     zerolog.Logger
	metrics *telemetry.Registry
	viewer  *configview.Viewer
	started *config.Config // as loaded at the start: some of its sections hold until relay restarts, see [fixed]
	monitor *monitor
	manager *serviceManager
	undo    datadir.Teardown

	data        *journalService
	accounts    *accountFactory
	sinks       *sinkFactory
	reconcilers reconcilers
	pages       pages
	control     *control

	mu      sync.Mutex
	current runners
}

// newJob opens everything and starts nothing. On an error everything is closed again.
func newJob(ctx context.Context, o Options) (_ *job, err error) {
	cfg, log := o.Config, o.Log
	j := &job{log: log, metrics: telemetry.NewRegistry(), monitor: newMonitor(cfg), manager: &serviceManager{log: log}, started: cfg, current: runners{cfg: cfg}}
	j.viewer = newViewer(o)
	var opened datadir.Teardown // sinks, which their lanes close once those run
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Run(), j.undo.Run())
		}
	}()
	j.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	j.data = &journalService{dir: o.Dir, metrics: pipeline.NewMetrics(j.metrics), undo: &j.undo, log: log}
	j.accounts = &accountFactory{
		log: log, data: j.data, socket: cfg.Socket, authMetrics: auth.NewMetrics(j.metrics), sourceMetrics: NewSourceMetrics(j.metrics),
	}
	j.sinks = &sinkFactory{log: log, out: o.Out, alertSink: cfg.Alerts.Sink, bearer: j.bearer}
	if err := j.openServices(ctx, o); err != nil {
		return nil, err
	}
	if err := j.openRunners(ctx, cfg, &opened); err != nil {
		return nil, err
	}
	j.reconcilers.set(j.runners().sources())
	j.monitor.watch(j)
	if err := j.openPages(ctx, o); err != nil {
		return nil, err
	}
	return j, nil
}

// newViewer returns what shows the configuration file, if there is one: a simulation may run without.
func newViewer(o Options) *configview.Viewer {
	path := o.Config.Path
	if o.Simulation && config.Hash(path) == "" {
		path = ""
	}
	v := configview.New(path, o.Getenv)
	v.Loaded()
	return v
}

// openServices opens what accounts and sinks need: traces, logins, the embedded NATS server, the journal and the lanes.
func (j *job) openServices(ctx context.Context, o Options) error {
	cfg := o.Config
	traces, err := telemetry.OpenTraces(ctx, o.Getenv, j.log)
	if err != nil {
		return err
	}
	var trace func(pipeline.Stage)
	if traces != nil {
		j.undo.Add("traces", func() error { return traces.Close(ctx) })
		trace = traces.Add
	}
	// Commands can ask a relay that waits for its journal. The socket closes before everything that its requests use.
	j.control = newControl(j)
	stopControl := sync.OnceValue(j.control.serve(ctx, o.Dir, j.log))
	j.undo.Add("control socket", stopControl)
	j.accounts.providers = wire.NewTransport()
	j.undo.Add("connections to the providers", func() error { j.accounts.providers.CloseIdleConnections(); return nil })
	if j.accounts.store, err = grants.OpenStore(ctx, o.Dir, o.Identity, j.log); err != nil {
		return err
	}
	if err := checkGrants(cfg, j.accounts.store, o.Pages != nil, j.log); err != nil {
		return err
	}
	if err := j.sinks.openServer(ctx, cfg, o, &j.undo); err != nil {
		return err
	}
	if err := j.data.open(ctx, cfg.Journal, trace); err != nil {
		return err
	}
	if err := j.openLanes(ctx, cfg, trace); err != nil {
		return err
	}
	if err := j.openOverlays(ctx, cfg); err != nil {
		return err
	}
	j.undo.Add("control socket", stopControl)
	j.monitor.open()
	return nil
}

// openLanes opens what delivers: the log of attempts, the dispatcher of the lanes, and the alerts.
func (j *job) openLanes(ctx context.Context, cfg *config.Config, trace func(pipeline.Stage)) (err error) {
	d := j.data
	if j.sinks.attempts, err = attempts.Open(ctx, attempts.Config{Log: d.storage.Attempts, Logger: j.log, Metrics: d.metrics}); err != nil {
		return exit.With(exit.Unavailable, err)
	}
	if j.sinks.lanes, err = delivery.New(ctx, delivery.Config{
		Journal: d.journal, CursorFile: filepath.Join(d.dir, datadir.CursorsFile), Logger: j.log, Metrics: d.metrics, OnStage: trace,
	}); err != nil {
		return exit.With(exit.Unavailable, err)
	}
	if cfg.Alerts.Sink != "" {
		j.sinks.alerts = journal.NewAlerts(d.journal, cfg.Alerts.Sink, j.log)
	}
	return nil
}

// openRunners opens the accounts and sinks of the configuration. It adds the sinks that it has opened to opened.
func (j *job) openRunners(ctx context.Context, cfg *config.Config, opened *datadir.Teardown) (err error) {
	now := runners{cfg: cfg, accounts: make(map[string]*accountRunner), sinks: make(map[string]*sinkRunner)}
	for _, c := range cfg.Accounts {
		if now.accounts[c.Account], err = j.accounts.open(c); err != nil {
			return err
		}
	}
	j.setRunners(now) // webhooks ask for their tokens
	for _, c := range cfg.Sinks {
		r, err := j.sinks.open(ctx, c)
		if err != nil {
			return err
		}
		opened.Add("sink "+c.Name, r.sink.Close)
		if err := j.sinks.openLane(ctx, r); err != nil {
			return err
		}
		now.sinks[c.Name] = r
	}
	return nil
}
