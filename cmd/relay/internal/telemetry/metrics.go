package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Registry is a Prometheus registry from which series can be removed by label. Register all metrics before concurrent use.
type Registry struct {
	*prometheus.Registry
	all []interface {
		DeletePartialMatch(prometheus.Labels) int
	}
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{Registry: prometheus.NewRegistry()} }

// MustRegister implements [prometheus.Registerer].
func (r *Registry) MustRegister(all ...prometheus.Collector) {
	r.Registry.MustRegister(all...)
	for _, c := range all {
		if vector, ok := c.(interface {
			DeletePartialMatch(prometheus.Labels) int
		}); ok {
			r.all = append(r.all, vector)
		}
	}
}

// Forget removes all series whose label has that value: those of an account or sink that no longer runs.
func (r *Registry) Forget(label, name string) {
	for _, vector := range r.all {
		vector.DeletePartialMatch(prometheus.Labels{label: name})
	}
}
