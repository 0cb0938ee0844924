package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Registry are the metrics that a registry holds, of which series can be taken out.
type Registry struct {
	*prometheus.Registry
	all []interface {
		DeletePartialMatch(prometheus.Labels) int
	}
}

// NewRegistry makes a registry without metrics.
func NewRegistry() *Registry { return &Registry{Registry: prometheus.NewRegistry()} }

// MustRegister implements [prometheus.Registerer].
func (v *Registry) MustRegister(all ...prometheus.Collector) {
	v.Registry.MustRegister(all...)
	for _, c := range all {
		if vector, ok := c.(interface {
			DeletePartialMatch(prometheus.Labels) int
		}); ok {
			v.all = append(v.all, vector)
		}
	}
}

// Forget takes out the series of a part that runs no more: they would stand still.
func (v *Registry) Forget(label, name string) {
	for _, vector := range v.all {
		vector.DeletePartialMatch(prometheus.Labels{label: name})
	}
}
