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
	// keyringWithin is short because a keyring may ask a person who is not there.
	keyringWithin = 2 * time.Second
)

// ErrNoIdentity means that there is no identity to open stored grants with.
var ErrNoIdentity = errors.New("there is no identity yet")

// IdentityOptions say where [LoadIdentity] looks, in this order.
type IdentityOptions struct {
	// File holds identities as age-keygen writes them. It must be there; nothing else is looked at when it is given. Others
	// may read it, as the secrets that are mounted into containers often have it, but not write.
	File string
	// Keyring asks the keyring of the operating system. One that is not there or does not answer is passed over.
	Keyring bool
	// Fallback is a file that is made, with a new identity, when nothing else was found. Others may not even read it.
	Fallback string
}

// Identity is what tokens are sealed with. Printing it shows its public part only.
type Identity struct {
	Source  string // where it came from, for people: "the OS keyring" or "file PATH"
	Created bool   // made just now; say so to the user

	keys      []age.Identity // all of them open
	recipient age.Recipient  // of the first, which seals
}

// Recipient gives the public part, as age spells it. It is no secret.
func (i Identity) Recipient() string {
	if s, ok := i.recipient.(fmt.Stringer); ok {
		return s.String()
	}
	return "none"
}

// String implements [fmt.Stringer].
func (i Identity) String() string { return i.Recipient() + " of " + i.Source }

// LoadIdentity finds the identity to seal tokens with. Where both the keyring and the fallback file hold one, the keyring's
// seals and both open, because a session without the keyring may have used the file. A new one goes to the keyring if that
// works, else to the fallback file. It never waits for a keyring longer than a few seconds; a call to one
// that hangs is left behind.
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
		// Another process may have made one meanwhile. A keyring that did not answer is not asked again.
		opts.Keyring = ring
		if id, ring, err = findIdentity(ctx, opts); err != nil || id.recipient != nil {
			return id, err
		}
	}
	return makeIdentity(ctx, opts.Fallback, ring)
}

// FindIdentity is [LoadIdentity] without the making: the error is or wraps [ErrNoIdentity] when there is none.
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

// findIdentity gives the zero Identity when there is none. ring reports whether there is a keyring that answers.
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

// readIdentity reads a file such as age-keygen writes. Its error wraps fs.ErrNotExist when there is none, and quotes none
// of it.
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

// askKeyring bounds a call that knows no context. A call that hangs goes on in its goroutine, whose result nobody reads.
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

// hasKeyring reports whether there is something to ask. Where the keyring is reached by D-Bus and no session bus runs,
// asking would start a bus that nobody ends.
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
