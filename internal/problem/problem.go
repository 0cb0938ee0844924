// Package problem has the form in which relay's HTTP answers say why a request failed (RFC 9457).
package problem

import (
	"encoding/json"
	"net/http"
)

// MediaType is the media type of a problem.
const MediaType = "application/problem+json"

// prefix and a name are the type of a problem.
const prefix = "urn:relay:problem:"

// Details are the members of every problem.
type Details struct {
	Type   string `json:"type" jsonschema_description:"urn:relay:problem: and a name; empty or about:blank if only the status is known"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty" jsonschema_description:"what failed and why, in one line"`
}

// Of returns the details of a problem with an HTTP status and a name. detail is what failed and why, in one line.
func Of(status int, name, detail string) Details {
	return Details{Type: prefix + name, Title: http.StatusText(status), Status: status, Detail: detail}
}

// Named reports whether the problem has that name.
func (d *Details) Named(name string) bool { return d.Type == prefix+name }

// Problem is a problem that may have a fix.
type Problem struct {
	Details
	Fix string `json:"fix,omitempty"` // what to do; empty: nobody can fix it
}

// New returns a problem as [Of] does, with what to do about it.
func New(status int, name, detail, fix string) *Problem {
	return &Problem{Of(status, name, detail), fix}
}

// Send answers a request with a problem: a value that has the members of [Details] in its JSON.
func Send(w http.ResponseWriter, status int, p any) {
	w.Header().Set("Content-Type", MediaType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}
