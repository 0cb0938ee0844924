package sinktest

import (
	"bytes"
	"encoding/json"
	"os"
	"syscall"
	"testing"
)

// User is a login at a NATS server. Without permissions it may publish and subscribe to everything.
type User struct {
	Name        string       `json:"user"`
	Password    string       `json:"password"`
	Permissions *Permissions `json:"permissions,omitempty"`
}

// Permissions are what a user may publish to and subscribe to.
type Permissions struct {
	Publish   *Subjects `json:"publish,omitempty"`
	Subscribe *Subjects `json:"subscribe,omitempty"`
}

// Subjects allow or deny subjects. Without Allow, all that is not denied is allowed.
type Subjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// RunningFor starts a server process for these users, and ends it with the test.
func RunningFor(t *testing.T, users ...User) *Process {
	t.Helper()
	p := NewProcess(t, "")
	p.setUsers(t, users)
	p.Start(t)
	t.Cleanup(p.Kill)
	return p
}

// Reload gives a running server other users.
func (p *Process) Reload(t *testing.T, users ...User) {
	t.Helper()
	p.setUsers(t, users)
	p.Signal(t, syscall.SIGHUP)
}

// setUsers writes the configuration with these users.
func (p *Process) setUsers(t *testing.T, users []User) {
	t.Helper()
	text := bytes.NewBufferString(p.base + "authorization: ")
	encoder := json.NewEncoder(text) // the server's format includes JSON without HTML escapes
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string][]User{"users": users}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Config, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
