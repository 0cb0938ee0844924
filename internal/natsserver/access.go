package natsserver

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/treatrelay/relay/internal/secret"
)

// The NATS accounts of the server, and relay's own user. The stream lies in relay's account. Overlays are in one of their own: what
// they, or the server on their behalf, publish stays there, and no stream listens there. What consuming the stream takes is
// exported to them.
const (
	relayAccount   = "RELAY"
	overlayAccount = "OVERLAY"
	relayUser      = "relay"
	relayInbox     = "_RELAY"
)

// services is what an overlay may ask of JetStream about the stream, with the usual clients.
func services() []string {
	const s = Stream
	return []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO." + s,
		"$JS.API.CONSUMER.CREATE." + s, "$JS.API.CONSUMER.CREATE." + s + ".>", "$JS.API.CONSUMER.DURABLE.CREATE." + s + ".>",
		"$JS.API.CONSUMER.INFO." + s + ".>", "$JS.API.CONSUMER.LIST." + s, "$JS.API.CONSUMER.NAMES." + s,
		"$JS.API.CONSUMER.DELETE." + s + ".>", "$JS.API.CONSUMER.MSG.NEXT." + s + ".>",
		"$JS.API.STREAM.MSG.GET." + s, "$JS.API.DIRECT.GET." + s, "$JS.API.DIRECT.GET." + s + ".>",
		"$JS.ACK." + s + ".>", "$JS.FC." + s + ".>",
	}
}

// deliveries is where a consumer may push to.
const deliveries = "_INBOX.>"

// access makes the accounts and their users.
func access(password, overlayUser string, overlayPassword secret.String) ([]*server.Account, []*server.User, error) {
	relay, overlay := server.NewAccount(relayAccount), server.NewAccount(overlayAccount)
	to := []*server.Account{overlay}
	for _, subject := range services() {
		if err := relay.AddServiceExportWithResponse(subject, server.Streamed, to); err != nil {
			return nil, nil, fmt.Errorf("export %s to overlays: %w", subject, err)
		}
		if err := overlay.AddServiceImport(relay, subject, subject); err != nil {
			return nil, nil, fmt.Errorf("import %s for overlays: %w", subject, err)
		}
	}
	for _, subject := range []string{Subjects, deliveries} {
		if err := relay.AddStreamExport(subject, to); err != nil {
			return nil, nil, fmt.Errorf("export %s to overlays: %w", subject, err)
		}
		if err := overlay.AddStreamImport(relay, subject, ""); err != nil {
			return nil, nil, fmt.Errorf("import %s for overlays: %w", subject, err)
		}
	}
	users := []*server.User{{Username: relayUser, Password: password, Account: relay}}
	if overlayUser != "" {
		users = append(users, &server.User{
			Username: overlayUser, Password: overlayPassword.Reveal(), Account: overlay,
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: services()},
				Subscribe: &server.SubjectPermission{Allow: []string{Subjects, deliveries}},
			},
		})
	}
	return []*server.Account{relay, overlay}, users, nil
}

// maxConsumers of a stream. Each overlay has one, and any of them can make more.
const maxConsumers = 256

// limits bounds what overlays can take up in relay's account; the empty tier is every stream.
func limits() map[string]server.JetStreamAccountLimits {
	return map[string]server.JetStreamAccountLimits{"": {
		MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: maxConsumers, MaxAckPending: -1,
		MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}}
}
