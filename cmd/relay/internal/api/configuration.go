package api

import (
	"context"
	"net/http"
)

// Configuration is the configuration file as relay understands it.
type Configuration struct {
	Path     string        `json:"path" jsonschema_description:"absolute; empty if a simulation runs without a file"`
	Text     string        `json:"text" jsonschema_description:"YAML, as relay config show prints it: with defaults, and *** in place of secrets. Of a running relay: as it was when relay loaded it"`
	Changed  bool          `json:"changed" jsonschema_description:"the file has changed since relay loaded it"`
	Restart  []string      `json:"restart,omitempty" jsonschema_description:"the sections of the text that relay uses from its next start on"`
	Warnings []ConfigFault `json:"warnings"`
	Faults   []ConfigFault `json:"faults" jsonschema_description:"of the file as it is now"`
	Problem  string        `json:"problem,omitempty" jsonschema_description:"the first fault, with its place, in one line"`
}

// ConfigFault is a fault or a warning, with its place in the file.
type ConfigFault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty" jsonschema_description:"from 1; left out if it has no place in the file"`
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty" jsonschema_description:"the key, such as sinks.bot.url"`
	Message string `json:"message"`
}

// Configuration returns the configuration, and what is wrong with it.
func (c *Client) Configuration(ctx context.Context) (Configuration, error) {
	return ask[Configuration](ctx, c, http.MethodGet, "config", nil, nil)
}
