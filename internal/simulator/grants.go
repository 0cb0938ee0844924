package simulator

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// maxIssued bounds the remembered secrets of one kind. The oldest ones are dropped.
const maxIssued = 10_000

// registration holds the credentials of the one client that is registered at the provider.
type registration struct {
	id     string
	secret secret.String
}

func (r registration) isID(id string) bool {
	return subtle.ConstantTimeCompare([]byte(id), []byte(r.id)) == 1
}

func (r registration) isSecret(text string) bool {
	return subtle.ConstantTimeCompare([]byte(text), []byte(r.secret.Reveal())) == 1
}

// login is a checked authorization request.
type login struct{ redirect, state string }

// grants holds everything that was issued and is still valid.
type grants struct {
	client     registration
	accessLife time.Duration

	mu       sync.Mutex
	consents ledger[login]  // by ticket of a consent page
	codes    ledger[string] // the redirect_uri that the exchange must repeat
	access   ledger[struct{}]
	refresh  ledger[struct{}]
	socket   ledger[struct{}]
}

func newGrants(client registration, life time.Duration) *grants {
	return &grants{
		client: client, accessLife: life,
		consents: newLedger[login](codeLife), codes: newLedger[string](codeLife), access: newLedger[struct{}](life),
		refresh: newLedger[struct{}](refreshLife), socket: newLedger[struct{}](socketLife),
	}
}

// issueTokens issues an access token and a refresh token.
func (g *grants) issueTokens() (access, refresh string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.access.issue(struct{}{}), g.refresh.issue(struct{}{})
}

// takeRefresh uses up a refresh token. It reports whether it was valid.
func (g *grants) takeRefresh(token string) bool { return takeFrom(g, &g.refresh, token) }

// takeSocket uses up a socket token. It reports whether it was valid.
func (g *grants) takeSocket(token string) bool { return takeFrom(g, &g.socket, token) }

func takeFrom[T any](g *grants, l *ledger[T], token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := l.take(token)
	return ok
}

// takeCode uses up a code and returns the redirect_uri that it was issued for. It reports whether the code was valid.
func (g *grants) takeCode(code string) (redirect string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.codes.take(code)
}

// isAccess reports whether token is a valid access token.
func (g *grants) isAccess(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.access.holds(token)
}

// issueSocket issues a socket token if access is a valid access token.
func (g *grants) issueSocket(access string) (token string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.access.holds(access) {
		return "", false
	}
	return g.socket.issue(struct{}{}), true
}

func (g *grants) issueCode(redirect string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.codes.issue(redirect)
}

// ask stores a login for the consent page and returns its ticket.
func (g *grants) ask(l login) (ticket string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.consents.issue(l)
}

// answered uses up a ticket and returns its login.
func (g *grants) answered(ticket string) (login, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.consents.take(ticket)
}

func (g *grants) revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.access, g.refresh = newLedger[struct{}](g.accessLife), newLedger[struct{}](refreshLife)
	g.socket = newLedger[struct{}](socketLife)
}

// ledger maps random secrets of 256 bits to values. It stores only the hashes of the secrets. The caller must lock.
type ledger[T any] struct {
	life    time.Duration
	entries map[[sha256.Size]byte]entry[T]
	order   [][sha256.Size]byte // in order of issue; may include keys that were taken
}

type entry[T any] struct {
	value T
	until time.Time
}

func newLedger[T any](life time.Duration) ledger[T] {
	return ledger[T]{life: life, entries: make(map[[sha256.Size]byte]entry[T])}
}

// issue returns a new secret for value, which is valid for the ledger's lifetime.
func (l *ledger[T]) issue(value T) string {
	text := randomText()
	key := sha256.Sum256([]byte(text))
	if len(l.order) == maxIssued {
		delete(l.entries, l.order[0])
		l.order = l.order[1:]
	}
	l.entries[key] = entry[T]{value, time.Now().Add(l.life)}
	l.order = append(l.order, key)
	return text
}

func (l *ledger[T]) holds(text string) bool {
	e, ok := l.entries[sha256.Sum256([]byte(text))]
	return ok && time.Now().Before(e.until)
}

// take removes a secret and returns its value.
func (l *ledger[T]) take(text string) (value T, ok bool) {
	key := sha256.Sum256([]byte(text))
	e, ok := l.entries[key]
	delete(l.entries, key)
	if !ok || !time.Now().Before(e.until) {
		return value, false
	}
	return e.value, true
}

// randomText returns 256 random bits as URL-safe text.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
