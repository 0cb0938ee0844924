package store_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/store"
)

// task is the work of a child process: find an identity.
type task struct {
	Keyring  string // how it is: works, fails, or else as the system has it
	Fallback string // file
}

// TestChild does nothing but in a child process. It ends that process: a keyring that hangs cannot be waited for.
func TestChild(t *testing.T) {
	var e task
	if !authtest.ChildTask(t, &e) {
		return
	}
	switch e.Keyring {
	case "works":
		keyring.MockInit()
	case "fails":
		keyring.MockInitWithError(errors.New("locked"))
	}
	for range 2 {
		id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{Keyring: true, Fallback: e.Fallback})
		fmt.Printf("identity %s created:%v %v\n", id, id.Created, err)
	}
	os.Exit(0)
}
