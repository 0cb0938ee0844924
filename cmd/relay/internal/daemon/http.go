package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// serveHTTP serves /healthz, /readyz and /metrics until stop is called.
func serveHTTP(ctx context.Context, listen string, metrics *prometheus.Registry, m *monitor, log zerolog.Logger) (stop func() error, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, exit.With(exit.Unavailable, &advice.Error{
			Err: fmt.Errorf("listen on http.listen %s: %w", listen, errors.Unwrap(err)), Fix: advice.Do("stop what uses it or choose another address"),
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{\"status\":\"ok\"}\n"))
	})
	mux.HandleFunc("GET /readyz", m.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	server := defaultHTTPLimits().server(mux, log)
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("http server ended")
		}
	})
	log.Info().Str("url", "http://"+l.Addr().String()).Msg("health and metrics are served")
	return func() error {
		err := server.Close()
		served.Wait()
		return err
	}, nil
}
