package server

import (
	"fmt"
	"net/http"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

func (s *server) configuration(w http.ResponseWriter, _ *http.Request) error {
	var view config.View
	if s.Configuration != nil {
		var err error
		if view, err = s.Configuration(); err != nil {
			return err
		}
	}
	v := api.Configuration{Path: view.Path, Text: view.Text, Warnings: faultsOf(view.Warnings), Faults: faultsOf(view.Faults)}
	if n := len(view.Faults); n > 0 {
		v.Problem = text.Line(view.Faults[0].Error())
		if n > 1 {
			v.Problem += fmt.Sprintf(" (the first of %d faults)", n)
		}
	}
	return answer(w, v)
}

func faultsOf(all config.Faults) []api.ConfigFault {
	faults := make([]api.ConfigFault, len(all))
	for i, f := range all {
		faults[i] = api.ConfigFault{File: f.File, Line: f.Line, Column: f.Column, Path: f.Path, Message: f.Message}
	}
	return faults
}
