package natsserver

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
)

// The NATS accounts of the server, and relay's own user. The stream is in relay's account. Each connection of an
// overlay has an account of its own: what it publishes, or the server on its behalf, stays there, where no stream and
// no other overlay listens. It imports what consuming the stream needs.
const (
	relayAccount  = "RELAY"
	overlayPrefix = "OVERLAY-"
	relayUser     = "relay"
	relayInbox    = "_RELAY"
)

// services are the JetStream requests about the stream that an overlay may send, as the usual clients do.
func services() []string {
	const s = Stream
	return []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO." + s, "$JS.API.CONSUMER.MSG.NEXT." + s + ".>",
		"$JS.API.STREAM.MSG.GET." + s, "$JS.API.DIRECT.GET." + s, "$JS.API.DIRECT.GET." + s + ".>",
		"$JS.ACK." + s + ".>", "$JS.FC." + s + ".>",
	}
}

// consumerAPI is the prefix of requests about a consumer, and consumerServices are the rest of their subjects. relay
// answers them: see [consumers]. Listing consumers is not among them, since whoever knows the name of a consumer can
// take its treats.
const consumerAPI = "$JS.API.CONSUMER."

func consumerServices() []string {
	return []string{"CREATE." + Stream, "CREATE." + Stream + ".>", "DURABLE.CREATE." + Stream + ".*", "INFO." + Stream + ".*", "DELETE." + Stream + ".*"}
}

// inboxes are the subjects that a consumer may push to. In relay's account, deliveries to an overlay have its account's
// name in their subject.
const (
	inboxPrefix = "_INBOX."
	inboxes     = inboxPrefix + ">"
	pushPrefix  = "_RELAY-PUSH."
	askPrefix   = "_RELAY-ASK."
)

// newRelayAccount makes the account of the stream, with its exports to overlays.
func newRelayAccount() (*server.Account, error) {
	relay := server.NewAccount(relayAccount)
	for _, subject := range append(services(), askPrefix+"*.>") {
		if err := relay.AddServiceExportWithResponse(subject, server.Streamed, nil); err != nil {
			return nil, fmt.Errorf("export %s to overlays: %w", subject, err)
		}
	}
	for _, subject := range []string{Subjects, pushPrefix + ">"} {
		if err := relay.AddStreamExport(subject, nil); err != nil {
			return nil, fmt.Errorf("export %s to overlays: %w", subject, err)
		}
	}
	return relay, nil
}

// authenticator authenticates clients. It implements [server.Authentication].
type authenticator struct {
	relay         *server.Account
	relayPassword string
	user          string // of overlays; empty: no overlay may connect
	password      secret.String
	log           zerolog.Logger

	mu          sync.Mutex
	server      *server.Server
	accounts    []*server.Account    // of overlays; reused after the connection has ended
	pushTargets map[string]time.Time // by account, when a consumer was last known to push to it
	token       string               // part of their names, so that consumers of an earlier process push to none of them
}

// pushTargetFor is how long an account that a consumer pushes to is not reused, unless that is observed again.
const pushTargetFor = time.Minute

func newAuthenticator(relayPassword string, cfg Config) *authenticator {
	return &authenticator{
		relayPassword: relayPassword, user: cfg.OverlayUser, password: cfg.OverlayPassword, log: cfg.Log,
		pushTargets: make(map[string]time.Time), token: rand.Text(),
	}
}

// notePush records that a consumer pushes to an account.
func (g *authenticator) notePush(account string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pushTargets[account] = time.Now()
}

// Check implements [server.Authentication].
func (g *authenticator) Check(c server.ClientAuthentication) bool {
	opts := c.GetOpts()
	if same(opts.Username, relayUser) && same(opts.Password, g.relayPassword) {
		c.RegisterUser(&server.User{Username: relayUser, Account: g.relay})
		return true
	}
	if g.user == "" || !same(opts.Username, g.user) || !same(opts.Password, g.password.Reveal()) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	account, err := g.free()
	if err != nil {
		g.log.Error().Err(err).Msg("an overlay cannot be accepted")
		return false
	}
	c.RegisterUser(&server.User{Username: g.user, Account: account, Permissions: overlayPermissions()})
	return true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// free returns an account without a connection and without a consumer that pushes to it. There are at most as many as
// the limits of connections and consumers together.
func (g *authenticator) free() (*server.Account, error) {
	maps.DeleteFunc(g.pushTargets, func(_ string, at time.Time) bool { return time.Since(at) > pushTargetFor })
	for _, a := range g.accounts {
		if _, aimed := g.pushTargets[a.Name]; !aimed && a.NumLocalConnections() == 0 {
			return a, nil
		}
	}
	account, err := g.server.RegisterAccount(fmt.Sprintf("%s%s-%d", overlayPrefix, g.token, len(g.accounts)+1))
	if err != nil {
		return nil, fmt.Errorf("create an account for an overlay: %w", err)
	}
	g.accounts = append(g.accounts, account) // kept even if incomplete, so that it is not made twice
	return account, addImports(account, g.relay)
}

// addImports adds the permitted imports to an overlay's account.
func addImports(overlay, relay *server.Account) error {
	imports := make(map[string]string)
	for _, subject := range services() {
		imports[subject] = subject
	}
	for _, rest := range consumerServices() {
		imports[consumerAPI+rest] = askPrefix + overlay.Name + "." + rest
	}
	for from, to := range imports {
		if err := overlay.AddServiceImport(relay, from, to); err != nil {
			return fmt.Errorf("import %s for an overlay: %w", from, err)
		}
	}
	if err := overlay.AddStreamImport(relay, Subjects, ""); err != nil {
		return fmt.Errorf("import %s for an overlay: %w", Subjects, err)
	}
	if err := overlay.AddMappedStreamImport(relay, pushPrefix+overlay.Name+"."+inboxes, inboxes); err != nil {
		return fmt.Errorf("import deliveries for an overlay: %w", err)
	}
	return nil
}

func overlayPermissions() *server.Permissions {
	publish := services()
	for _, rest := range consumerServices() {
		publish = append(publish, consumerAPI+rest)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{Subjects, inboxes}},
	}
}

// subscriber returns the overlay account with a subscription to exactly that subject, or "".
func (g *authenticator) subscriber(subject string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, account := range g.accounts {
		if account.NumLocalConnections() == 0 || account.Interest(subject) == 0 {
			continue
		}
		all, err := g.server.Subsz(&server.SubszOptions{Subscriptions: true, Account: account.Name, Test: subject})
		if err == nil && slices.ContainsFunc(all.Subs, func(s server.SubDetail) bool { return s.Subject == subject }) {
			return account.Name
		}
	}
	return ""
}

// The limits of all overlays together in relay's account: consumers, of which any overlay can make several, and the
// messages that wait for an acknowledgement, which are in memory.
const (
	maxConsumers  = 256
	maxAckPending = 10_000
)

// limits enforces these bounds; the empty tier means every stream. Each stream has its own size limit, and only relay
// makes streams.
func limits() map[string]server.JetStreamAccountLimits {
	return map[string]server.JetStreamAccountLimits{"": {
		MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: maxConsumers, MaxAckPending: maxAckPending,
		MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}}
}
