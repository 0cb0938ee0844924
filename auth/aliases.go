package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/auth/wire"
)

// The names that were in this package before it had rooms. They go as soon as nothing of cmd/relay uses them.
type (
	// Provider is [provider.Provider].
	Provider = provider.Provider
	// Endpoints is [provider.Endpoints].
	Endpoints = provider.Endpoints
	// BodyStyle is [provider.BodyStyle].
	BodyStyle = provider.BodyStyle
	// GrantType is [provider.GrantType].
	GrantType = provider.GrantType
	// Grant is [grant.Grant].
	Grant = grant.Grant
	// State is [grant.State].
	State = grant.State
	// LoginMark is [grant.LoginMark].
	LoginMark = grant.LoginMark
	// FileStore is [store.Files].
	FileStore = store.Files
	// Identity is [store.Identity].
	Identity = store.Identity
	// IdentityOptions is [store.IdentityOptions].
	IdentityOptions = store.IdentityOptions
	// ExportKey is [store.ExportKey].
	ExportKey = store.ExportKey
	// ImportOptions is [store.ImportOptions].
	ImportOptions = store.ImportOptions
	// LoginOptions is [login.Options].
	LoginOptions = login.Options
	// Transport is [wire.Transport].
	Transport = wire.Transport
)

// Values of the types above.
const (
	Form                  = provider.Form
	JSON                  = provider.JSON
	Query                 = provider.Query
	AuthorizationCode     = provider.AuthorizationCode
	ClientCredentials     = provider.ClientCredentials
	PersonalToken         = provider.PersonalToken
	Active                = grant.Active
	ReauthorizeNeeded     = grant.ReauthorizeNeeded
	RefreshOutcomeUnknown = grant.RefreshOutcomeUnknown
	ClientRefused         = grant.ClientRefused
)

// Errors of the rooms.
var (
	ErrNoGrant        = grant.ErrNone
	ErrReauthorize    = grant.ErrReauthorize
	ErrOutcomeUnknown = grant.ErrOutcomeUnknown
	ErrClientRefused  = grant.ErrClientRefused
	ErrUnusable       = grant.ErrUnusable
	ErrNoIdentity     = store.ErrNoIdentity
)

// Providers is [provider.All].
func Providers() []Provider { return provider.All() }

// Lookup is [provider.Lookup].
func Lookup(name string) (Provider, bool) { return provider.Lookup(name) }

// NewFileStore is [store.Open].
func NewFileStore(dir string, sealer store.Sealer) (*FileStore, error) {
	return store.Open(dir, sealer)
}

// NewAgeSealer is [store.NewAgeSealer].
func NewAgeSealer(id Identity) store.Sealer { return store.NewAgeSealer(id) }

// LoadIdentity is [store.LoadIdentity].
func LoadIdentity(ctx context.Context, opts IdentityOptions) (Identity, error) {
	return store.LoadIdentity(ctx, opts)
}

// FindIdentity is [store.FindIdentity].
func FindIdentity(ctx context.Context, opts IdentityOptions) (Identity, error) {
	return store.FindIdentity(ctx, opts)
}

// Sealed is [store.Sealed].
func Sealed(content []byte) bool { return store.Sealed(content) }

// OpenBrowser is [login.OpenBrowser].
func OpenBrowser(url string) error { return login.OpenBrowser(url) }

// NewTransport is [wire.NewTransport].
func NewTransport() *Transport { return wire.NewTransport() }

// ServerTime is [wire.ServerTime].
func ServerTime(header http.Header, now time.Time) (time.Time, bool) {
	return wire.ServerTime(header, now)
}
