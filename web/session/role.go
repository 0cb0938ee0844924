package session

import "fmt"

// Role says what a client may do. A greater role may do all that a lesser one may.
type Role uint8

// The roles. None and Key have no sessions: None is an unknown client, Key is a program with the key of an overlay.
const (
	None Role = iota
	Key
	Moderator
	Owner
)

// LogsIn reports whether the role has sessions.
func (r Role) LogsIn() bool { return r == Moderator || r == Owner }

// String is the name of the role in the API.
func (r Role) String() string {
	switch r {
	case None:
		return "none"
	case Key:
		return "key"
	case Moderator:
		return "moderator"
	case Owner:
		return "owner"
	}
	return fmt.Sprintf("Role(%d)", r)
}
