package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/zalando/go-keyring"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/internal/atomicfile"
	"github.com/treatrelay/relay/internal/secret"
)

const (
	keyringService = "relay"
	keyringUser    = "identity"
	// keyringWithin is short because a keyring may prompt a user who is not present.
	keyringWithin = 2 * time.Second
)

// ErrNoIdentity means that there is no identity to decrypt stored grants with.
var ErrNoIdentity = errors.New("there is no identity yet")

// IdentityOptions say where [LoadIdentity] looks, in this order.
type IdentityOptions struct {
	// File has identities in the format of age-keygen. If set, it must exist, and nothing else is used. Others may read
	// it, as is common for secrets mounted into containers, but not write it.
	File string
	// Keyring uses the keyring of the operating system. One that is missing or does not respond is skipped.
	Keyring bool
	// Fallback is a file that is created with a new identity if nothing else was found. Others must not be able to read
	// it.
	Fallback string
}

// Identity is the key pair that seals tokens. Formatting it shows its public part only.
type Identity struct {
	Source  string // where it came from, for people: "the OS keyring" or "file PATH"
	Created bool   // created by this call; tell the user

	keys      []age.Identity // all of them decrypt
	recipient age.Recipient  // of the first, which encrypts
}

// Recipient returns the public part in the format of age. It is not secret.
func (i Identity) Recipient() string {
	if s, ok := i.recipient.(fmt.Stringer); ok {
		return s.String()
	}
	return "none"
}

// String implements [fmt.Stringer].
func (i Identity) String() string { return i.Recipient() + " of " + i.Source }

// LoadIdentity returns the identity to seal tokens with, and creates one if there is none. If both the keyring and the
// fallback file have one, the keyring's encrypts and both decrypt, because a session without the keyring may have used
// the file. A new identity is stored in the keyring if that works, else in the fallback file. LoadIdentity waits at
// most a few seconds for a keyring and abandons a call that hangs.
func LoadIdentity(ctx context.Context, opts IdentityOptions) (Identity, error) {
	if opts.File != "" {
		id, err := readIdentity(opts.File, writing)
		if errors.Is(err, fs.ErrNotExist) {
			return Identity{}, &advice.Error{Err: err, Fix: advice.Fix{Before: "make one with: ", Command: "age-keygen -o " + opts.File}}
		}
		return id, err
	}
	id, ring, err := findIdentity(ctx, opts)
	if err != nil || id.recipient != nil {
		return id, err
	}
	if opts.Fallback != "" {
		if err := os.MkdirAll(filepath.Dir(opts.Fallback), 0o700); err != nil {
			return Identity{}, fmt.Errorf("make identity: %w", err)
		}
		ctx, cancel := context.WithTimeoutCause(ctx, identityLockWithin, fmt.Errorf("not released within %s", identityLockWithin))
		defer cancel()
		unlock, err := lockFile(ctx, opts.Fallback+lockSuffix)
		if err != nil {
			return Identity{}, fmt.Errorf("make identity: %w", err)
		}
		defer unlock()
		// Another process may have created one meanwhile. Do not ask an unresponsive keyring again.
		opts.Keyring = ring
		if id, ring, err = findIdentity(ctx, opts); err != nil || id.recipient != nil {
			return id, err
		}
	}
	return makeIdentity(ctx, opts.Fallback, ring)
}

// FindIdentity is [LoadIdentity], except that it creates nothing: the error is or wraps [ErrNoIdentity] if there is
// none.
func FindIdentity(ctx context.Context, opts IdentityOptions) (Identity, error) {
	if opts.File != "" {
		return LoadIdentity(ctx, opts)
	}
	id, _, err := findIdentity(ctx, opts)
	if err == nil && id.recipient == nil {
		err = ErrNoIdentity
	}
	return id, err
}

// findIdentity returns the zero Identity if there is none. ring reports whether there is a keyring that responds.
func findIdentity(ctx context.Context, opts IdentityOptions) (id Identity, ring bool, err error) {
	if opts.Keyring {
		text, err := askKeyring(ctx, func() (string, error) { return keyring.Get(keyringService, keyringUser) })
		ring = err == nil || errors.Is(err, keyring.ErrNotFound)
		if err == nil {
			if id, err = parseIdentity(text, "the OS keyring"); err != nil {
				if damaged, ok := errors.AsType[*advice.Error](err); ok {
					damaged.Fix.After += "; remove the entry " + keyringUser + " of " + keyringService + " there"
				}
				return Identity{}, ring, err
			}
		}
		if ctx.Err() != nil {
			return Identity{}, ring, fmt.Errorf("ask the OS keyring: %w", context.Cause(ctx))
		}
	}
	if opts.Fallback == "" {
		return id, ring, nil
	}
	file, err := readIdentity(opts.Fallback, anything)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return id, ring, nil
	case err != nil:
		return Identity{}, ring, err
	case id.recipient == nil:
		return file, ring, nil
	}
	id.keys = append(id.keys, file.keys...)
	return id, ring, nil
}

func makeIdentity(ctx context.Context, path string, ring bool) (Identity, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return Identity{}, fmt.Errorf("make identity: %w", err)
	}
	id := Identity{Created: true, keys: []age.Identity{key}, recipient: key.Recipient()}
	if ring {
		_, err := askKeyring(ctx, func() (string, error) {
			return "", keyring.Set(keyringService, keyringUser, key.String())
		})
		if err == nil {
			id.Source = "the OS keyring"
			return id, nil
		}
	}
	if path == "" {
		return Identity{}, &advice.Error{
			Err: errors.New("make identity: the OS keyring is not to be had, and there is no file to use instead"),
			Fix: advice.Do("set RELAY_IDENTITY_FILE"),
		}
	}
	content := fmt.Sprintf("# relay seals the tokens of accounts with this. Whoever has it and them can use both.\n# public key: %s\n%s\n",
		key.Recipient(), key)
	if err := atomicfile.Write(path, []byte(content)); err != nil {
		return Identity{}, fmt.Errorf("make identity: %w", err)
	}
	id.Source = "file " + path
	return id, nil
}

// readIdentity reads a file in the format of age-keygen. Its error wraps [fs.ErrNotExist] if there is none, and quotes
// no part of it.
func readIdentity(path string, forbidden fs.FileMode) (Identity, error) {
	content, _, err := readPrivate(path, forbidden)
	if err != nil {
		return Identity{}, fmt.Errorf("open identity: %w", err)
	}
	text, err := secret.Text(content)
	if err != nil {
		return Identity{}, fmt.Errorf("open identity: %s %w", path, err)
	}
	return parseIdentity(text.Reveal(), "file "+path)
}

func parseIdentity(text, source string) (Identity, error) {
	keys, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return Identity{}, &advice.Error{
			Err: fmt.Errorf("open identity: %s holds no age identity, or a damaged one (a line that begins with AGE-SECRET-KEY-)", source),
			Fix: advice.Do("put it back from a backup, or make a new one and log in to each account again with relay auth login ACCOUNT"),
		}
	}
	id := Identity{Source: source, keys: keys}
	switch key := keys[0].(type) {
	case *age.X25519Identity:
		id.recipient = key.Recipient()
	case *age.HybridIdentity:
		id.recipient = key.Recipient()
	default:
		return Identity{}, fmt.Errorf("open identity: %s begins with an identity of a kind that relay does not know", source)
	}
	return id, nil
}

// askKeyring bounds a keyring call, which takes no context. A call that hangs stays in its goroutine, and its result is
// dropped.
func askKeyring(ctx context.Context, ask func() (string, error)) (string, error) {
	if !hasKeyring() {
		return "", errors.New("no D-Bus session")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, keyringWithin, fmt.Errorf("no answer within %s", keyringWithin))
	defer cancel()
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := ask()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// hasKeyring reports whether there may be a keyring. If it is reached by D-Bus and no session bus runs, a call would
// start a bus that nobody stops.
func hasKeyring() bool {
	switch runtime.GOOS {
	case "windows", "darwin", "ios":
		return true
	}
	if bus := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); bus != "" && bus != "autolaunch:" {
		return true
	}
	session := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	for _, name := range []string{"bus", "dbus-session"} {
		if _, err := os.Stat(filepath.Join(session, name)); err == nil {
			return true
		}
	}
	return false
}
