package journal

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// RejectedPayload is a payload that could not be a treat. It is the data of a Reject entry.
type RejectedPayload struct {
	Account  string    `json:"account"`
	Provider string    `json:"provider"`
	Reason   string    `json:"reason"`
	Received time.Time `json:"received"`
	Size     int       `json:"size"`    // of the payload, in bytes
	Payload  string    `json:"payload"` // its first 256 KiB as received
}

// maxRejected bounds the payload that is kept. Escaped as JSON it can be six times as long.
const maxRejected = 256 << 10

// RejectEntry returns the entry for a payload that cannot be a treat.
func RejectEntry(account, provider, reason string, received time.Time, payload []byte) Entry {
	data, err := pipeline.EncodeJSON(RejectedPayload{
		Account: account, Provider: provider, Reason: reason, Received: received.UTC(),
		Size: len(payload), Payload: string(payload[:min(len(payload), maxRejected)]),
	})
	if err != nil {
		data = nil // encoding strings and numbers never fails
	}
	return Entry{Kind: Reject, Account: account, Provider: provider, Data: data}
}

// cutEntry reduces an entry that is too large for the log: a treat to a reject with its start, a dead letter to one
// without its event. It reports false if that is not possible.
func cutEntry(e *Entry) (small Entry, ok bool) {
	const keep = 16 << 10
	var data []byte
	var err error
	switch e.Kind {
	case Treat:
		small = Entry{Kind: Reject, ID: "cut_" + e.ID, Time: e.Time, Account: e.Account, Provider: e.Provider}
		data, err = pipeline.EncodeJSON(RejectedPayload{
			Account: e.Account, Provider: e.Provider, Reason: "larger than what the journal takes",
			Received: e.Time, Size: len(e.Data), Payload: string(e.Data[:min(len(e.Data), keep)]),
		})
	case Reject:
		small = *e
		var whole RejectedPayload
		if err := json.Unmarshal(e.Data, &whole); err != nil || len(whole.Payload) <= keep {
			return small, false
		}
		whole.Payload = strings.ToValidUTF8(whole.Payload[:keep], "")
		data, err = pipeline.EncodeJSON(whole)
	case Dead:
		small = *e
		var letter DeadLetter
		if err := json.Unmarshal(e.Data, &letter); err != nil || letter.Event == nil {
			return small, false
		}
		letter.Event = nil
		data, err = pipeline.EncodeJSON(letter)
	default:
		return small, false
	}
	small.Data = data
	return small, err == nil && len(data) < len(e.Data)
}
