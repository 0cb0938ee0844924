package auth

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
)

// Metrics counts what accounts do at their providers. The label account has names from the configuration; result is one
// of ok, refused, lost (the reply did not arrive) and failed (harmless, will be retried). So the label sets are
// bounded. One Metrics serves all accounts of a process; a nil one counts nothing.
type Metrics struct {
	requests    *prometheus.CounterVec
	refreshes   *prometheus.CounterVec
	reauthorize *prometheus.GaugeVec
	expiry      *prometheus.GaugeVec
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_auth_token_requests_total", Help: "Requests to token endpoints, for logins and refreshes.",
		}, []string{"account", "result"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_auth_refreshes_total", Help: "Refreshes of access tokens.",
		}, []string{"account", "result"}),
		reauthorize: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_auth_reauthorize_needed", Help: "1 while the account needs somebody to log in again.",
		}, []string{"account"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_auth_token_expiry_timestamp_seconds", Help: "When the access token expires, in Unix time.",
		}, []string{"account"}),
	}
	reg.MustRegister(m.requests, m.refreshes, m.reauthorize, m.expiry)
	return m
}

// result returns the label for the outcome of a request.
func result(err error) string {
	f := wire.AsFailure(err)
	switch {
	case err == nil:
		return "ok"
	case f != nil && f.Kind == wire.Refused:
		return "refused"
	case f != nil && f.Kind == wire.LostReply:
		return "lost"
	default:
		return "failed"
	}
}

func (m *Metrics) requested(account string, err error) {
	if m != nil {
		m.requests.WithLabelValues(account, result(err)).Inc()
	}
}

func (m *Metrics) refreshed(account string, err error) {
	if m != nil {
		m.refreshes.WithLabelValues(account, result(err)).Inc()
	}
}

func (m *Metrics) stored(account string, g grant.Grant) {
	if m == nil {
		return
	}
	dead := 0.0
	if g.State == grant.ReauthorizeNeeded {
		dead = 1
	}
	m.reauthorize.WithLabelValues(account).Set(dead)
	if !g.Expiry.IsZero() {
		m.expiry.WithLabelValues(account).Set(float64(g.Expiry.Unix()))
	}
}
