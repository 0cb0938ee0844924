package socket

import (
	"fmt"
	"time"
)

// Protocol is the Engine.IO revision of a connection: 3 beneath Socket.IO 1.x and 2.x, 4 beneath 3.x and later.
type Protocol int

// The revisions that Client speaks.
const (
	Auto Protocol = 0 // find out, and remember it
	EIO3 Protocol = 3
	EIO4 Protocol = 4
)

// ParseProtocol reads "auto", "3" or "4". The empty string is auto.
func ParseProtocol(text string) (Protocol, error) {
	switch text {
	case "", "auto":
		return Auto, nil
	case "3":
		return EIO3, nil
	case "4":
		return EIO4, nil
	}
	return Auto, fmt.Errorf("socket protocol %q: want auto, 3 or 4", text)
}

// String is the inverse of [ParseProtocol].
func (p Protocol) String() string {
	if p == Auto {
		return "auto"
	}
	return fmt.Sprint(int(p))
}

// Transport is how the frames of a connection travel, by its name in Engine.IO.
type Transport string

// The transports that Client uses.
const (
	WebSocket Transport = "websocket"
	Polling   Transport = "polling" // HTTP long-polling, where a WebSocket is not available
)

// Phase says what a Client is doing.
type Phase int

// The phases of a Client. It goes from Stopped to Connecting, from there to Connected or Waiting, from Connected to
// Waiting, from Waiting to Connecting, and from any of them to Stopped.
const (
	Stopped Phase = iota // Run has not begun, or is about to return
	Connecting
	Connected // the server has accepted the connection in every namespace; entered again when polling becomes a WebSocket
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

// State is what a Client is doing, and since when.
type State struct {
	Phase     Phase
	Since     time.Time
	Transport Transport     // Connected, Connecting: which; else empty
	Protocol  Protocol      // spoken (Connected), tried (Connecting) or remembered (the others); Auto: not known
	Attempt   int           // how many attempts have begun since the last Connected, or since Run began
	RetryIn   time.Duration // Waiting: how long
	Upgraded  bool          // Connected: it was already, by polling
	Err       error         // Waiting: why; Connected by polling: why not by WebSocket; Stopped: what Run returns. It carries no secrets
}
