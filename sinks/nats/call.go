package nats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// call is the state of one Deliver: its records, and how many of them from the front are accepted.
type call struct {
	done chan struct{} // closed once the result is known

	// Guarded by the publisher's lock.
	accepted []bool
	front    int // all records before it are accepted
	open     int // records published and not answered
	answered uint64
	failed   int // index of the first refused record; the number of records if there is none
	err      error
	ended    bool
}

func newCall(n int) *call {
	return &call{done: make(chan struct{}), accepted: make([]bool, n), failed: n}
}

func (c *call) accept(index int) {
	c.accepted[index] = true
	for c.front < len(c.accepted) && c.accepted[c.front] {
		c.front++
	}
	c.settle()
}

func (c *call) refuse(index int, err error) {
	if index < c.failed {
		c.failed, c.err = index, err
	}
	c.settle()
}

func (c *call) settle() {
	if c.front >= c.failed && !c.ended {
		c.ended = true
		close(c.done)
	}
}

// acknowledged is the prefix of a reply for a message that the stream has, new or as a duplicate (nats-server,
// JSPubAckResponse).
const acknowledged = `{"stream":`

// refusal returns the error in a reply, or nil if the stream has the message.
func refusal(m *nats.Msg) error {
	if bytes.HasPrefix(m.Data, []byte(acknowledged)) {
		return nil
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return fmt.Errorf("the server's answer is not one of JetStream: %w", err)
	case answer.Error != nil:
		return answer.Error
	case answer.Stream == "":
		return errors.New("the server's answer names no stream")
	}
	return nil
}
