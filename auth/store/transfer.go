package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

// ExportKey says how to encrypt an export: exactly one of the two is set.
type ExportKey struct {
	Passphrase secret.String // for age's scrypt
	Recipient  string        // age1..., from [Identity.Recipient] on the other machine
}

// Export returns the grant of an account in the ASCII armor of age, to move it to another machine. A grant belongs to
// one machine: if two refresh it, each invalidates the tokens of the other, so delete it here once it is there. The
// error wraps [grant.ErrNone], [grant.ErrUnusable] or [grant.ErrReauthorize] if there is no usable grant.
func (f *Files) Export(account string, key ExportKey) ([]byte, error) {
	elsewhere := advice.Do("log in on the other machine instead")
	g, err := f.Load(account)
	if _, loose := errors.AsType[*looseMode](err); errors.Is(err, grant.ErrUnusable) && !loose {
		return nil, &advice.Error{Err: fmt.Errorf("export %s: %w", account, err), Fix: elsewhere}
	}
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", account, err)
	}
	if g.State == grant.ReauthorizeNeeded {
		return nil, &advice.Error{Err: fmt.Errorf("export %s: %w: %s", account, grant.ErrReauthorize, g.Reason), Fix: elsewhere}
	}
	to, err := key.recipient()
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", account, err)
	}
	content, err := encodeRecord(account, g)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", account, err)
	}
	sealed, err := ageSeal(content, to)
	if err != nil {
		return nil, fmt.Errorf("export %s: seal: %w", account, err)
	}
	return sealed, nil
}

func (k ExportKey) recipient() (age.Recipient, error) {
	switch {
	case k.Passphrase.Empty() == (k.Recipient == ""):
		return nil, errors.New("give a passphrase or a recipient, one of the two")
	case !k.Passphrase.Empty():
		return age.NewScryptRecipient(k.Passphrase.Reveal())
	}
	all, err := age.ParseRecipients(strings.NewReader(k.Recipient))
	if err != nil || len(all) != 1 {
		return nil, errors.New("the recipient is not one age recipient (age1...)")
	}
	return all[0], nil
}

// ImportOptions say how [Files.Import] decrypts an export, and what it may replace.
type ImportOptions struct {
	Provider   string        // that must have issued the grant
	Passphrase secret.String // if the export was encrypted with one; else:
	Identity   Identity      // that the export was encrypted for
	Force      bool          // replace even a working grant
}

// Import saves the result of [Files.Export] from another machine under the same name. It replaces a stored grant only
// if that was written off or is unusable, or with Force. A relay that runs on this store continues with the new grant.
func (f *Files) Import(ctx context.Context, account string, export []byte, opts ImportOptions) error {
	g, err := openExport(account, export, opts)
	if err != nil {
		return fmt.Errorf("import %s: %w", account, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, grant.LockPatience, fmt.Errorf("not released within %s", grant.LockPatience))
	defer cancel()
	unlock, err := f.Lock(ctx, account)
	if err != nil {
		return fmt.Errorf("import %s: %w", account, err)
	}
	defer unlock()
	old, err := f.Load(account)
	if err == nil && old.State != grant.ReauthorizeNeeded && !opts.Force {
		return &advice.Error{
			Err: fmt.Errorf("import %s: a grant of %s is here already (%s)", account, old.Provider, old.State),
			Fix: advice.Do("log out first, or replace it with --force"),
		}
	}
	// Holders of the old token must see that this one is newer.
	g.Generation = max(g.Generation, old.Generation+1)
	// The time of the login was for the journal of the other machine.
	g.Login = grant.LoginMark{ID: cmp.Or(g.Login.ID, rand.Text()), At: time.Now().Round(0).UTC()}
	if err := f.Save(account, g); err != nil {
		return fmt.Errorf("import %s: %w", account, err)
	}
	return nil
}

// openExport decrypts and checks an export. Its error has no secret.
func openExport(account string, export []byte, opts ImportOptions) (grant.Grant, error) {
	if !Sealed(export) {
		return grant.Grant{}, errors.New("this is not an export of relay, which begins with -----BEGIN AGE ENCRYPTED FILE-----")
	}
	keys := opts.Identity.keys
	if !opts.Passphrase.Empty() {
		key, err := age.NewScryptIdentity(opts.Passphrase.Reveal())
		if err != nil {
			return grant.Grant{}, err
		}
		keys = []age.Identity{key}
	}
	if len(keys) == 0 {
		return grant.Grant{}, errors.New("give the passphrase or the identity that it was sealed for")
	}
	content, err := ageOpen(export, keys...)
	if other, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		if opts.Passphrase.Empty() && slices.Contains(other.StanzaTypes, "scrypt") {
			return grant.Grant{}, errors.New("it is sealed with a passphrase; give --passphrase-file with a file that holds it, since the export takes standard input")
		}
		if opts.Passphrase.Empty() {
			return grant.Grant{}, fmt.Errorf("it is not sealed for %s", opts.Identity)
		}
		return grant.Grant{}, errors.New("it does not open with this passphrase")
	}
	if err != nil {
		return grant.Grant{}, err
	}
	var head struct{ Account, Provider string }
	if json.Unmarshal(content, &head) == nil {
		switch {
		case head.Account != account:
			return grant.Grant{}, fmt.Errorf("it is the grant of the account %q; import it under that name", head.Account)
		case head.Provider != opts.Provider:
			return grant.Grant{}, fmt.Errorf("it is a grant at %q, and the account is configured for %q", head.Provider, opts.Provider)
		}
	}
	return decodeRecord(account, content)
}
