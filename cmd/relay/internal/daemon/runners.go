package daemon

import (
	"errors"
	"maps"
	"slices"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

// runners are the accounts and sinks of a configuration, by name. A reload replaces them; the maps of a job that is served are never changed.
type runners struct {
	cfg      *config.Config
	accounts map[string]*accountRunner
	sinks    map[string]*sinkRunner
}

// sources returns the sources of the accounts that receive treats, sorted by name.
func (r runners) sources() (all []*source) {
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		if s := r.accounts[name].source; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// runners returns the current accounts and sinks of the job.
func (j *job) runners() runners {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.current
}

func (j *job) setRunners(r runners) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.current = r
}

// errRemoved ends an account or a sink at a reload.
var errRemoved = errors.New("the configuration no longer has it, or has changed it")
