package socket

import (
	"fmt"
	"strings"
	"time"
)

// Protocol is the Engine.IO revision of a connection: 3 for Socket.IO 1.x and 2.x, 4 for 3.x and later.
type Protocol int

// The supported revisions.
const (
	Auto Protocol = 0 // detect and remember
	EIO3 Protocol = 3
	EIO4 Protocol = 4
)

// Words returns the texts of all protocols: auto, 3 and 4.
func (Protocol) Words() []string { return []string{Auto.String(), EIO3.String(), EIO4.String()} }

// ParseProtocol parses "auto", "3" or "4". The empty string is auto.
func ParseProtocol(text string) (Protocol, error) {
	for _, p := range []Protocol{Auto, EIO3, EIO4} {
		if text == p.String() || text == "" {
			return p, nil
		}
	}
	return Auto, fmt.Errorf("socket protocol %q: want one of %s", text, strings.Join(Auto.Words(), ", "))
}

// UnmarshalText implements [encoding.TextUnmarshaler] with [ParseProtocol].
func (p *Protocol) UnmarshalText(text []byte) (err error) {
	*p, err = ParseProtocol(string(text))
	return err
}

// String is the inverse of [ParseProtocol].
func (p Protocol) String() string {
	if p == Auto {
		return "auto"
	}
	return fmt.Sprint(int(p))
}

// Transport is the name of an Engine.IO transport.
type Transport string

// The supported transports.
const (
	WebSocket Transport = "websocket"
	Polling   Transport = "polling" // HTTP long-polling, where WebSocket is not available
)

// Phase is the phase of a Client.
type Phase int

// The phases of a Client. Transitions: Stopped to Connecting; Connecting to Connected or Waiting; Connected to Waiting;
// Waiting to Connecting; any of them to Stopped.
const (
	Stopped Phase = iota // Run has not started, or is about to return
	Connecting
	Connected // accepted in every namespace; entered again when polling becomes a WebSocket
	Waiting   // for the next attempt
)

// String returns the name of the phase in lower case.
func (p Phase) String() string {
	switch p {
	case Stopped:
		return "stopped"
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Waiting:
		return "waiting"
	}
	return fmt.Sprintf("phase %d", int(p))
}

// State is what a Client is doing.
type State struct {
	Phase     Phase
	Since     time.Time
	Transport Transport     // Connected, Connecting: which; otherwise empty
	Protocol  Protocol      // spoken (Connected), tried (Connecting) or remembered; Auto: unknown
	Attempt   int           // attempts since the last Connected, or since Run started
	RetryIn   time.Duration // Waiting: the delay
	Upgraded  bool          // Connected: it was already connected by polling
	Err       error         // Waiting: why; Connected by polling: why not by WebSocket; Stopped: what Run returns. It contains no secrets
}
