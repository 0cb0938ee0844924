package datadir

import (
	"errors"
	"fmt"
	"slices"
)

// Teardown is a list of things to close, in reverse order of opening. It is for one goroutine at a time.
type Teardown []closer

type closer struct {
	name  string
	close func() error
}

// Add adds something to close before everything added so far. name is for errors.
func (t *Teardown) Add(name string, closeIt func() error) { *t = append(*t, closer{name, closeIt}) }

// Run closes everything, and returns all errors. The list is empty then.
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
