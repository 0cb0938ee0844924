package datadir

import (
	"errors"
	"fmt"
	"slices"
)

// Teardown is what is to be closed, last opened first.
type Teardown []closer

type closer struct {
	name  string
	close func() error
}

// Add adds what is to be closed before all that was added so far.
func (t *Teardown) Add(name string, closeIt func() error) { *t = append(*t, closer{name, closeIt}) }

// Run closes everything, whatever fails.
func (t *Teardown) Run() error {
	var errs []error
	for _, c := range slices.Backward(*t) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	*t = nil
	return errors.Join(errs...)
}
