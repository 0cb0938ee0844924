package socket

// The kinds of Engine.IO packets, by their digit on the wire. (Engine.IO protocol, "Packet encoding".)
const (
	frameOpen    = '0'
	frameClose   = '1'
	framePing    = '2'
	framePong    = '3'
	frameMessage = '4'
	frameUpgrade = '5'
)

// frame is an Engine.IO packet from one WebSocket message.
type frame struct {
	kind   byte   // a digit; zero: not a packet
	binary bool   // a binary message
	data   []byte // what follows the kind; aliases the WebSocket message
}

// parseFrame takes a WebSocket message apart. Text starts with the kind as a digit in both revisions. A binary message
// is always of kind message in revision 4, and starts with the kind as a byte in revision 3.
func parseFrame(rev Protocol, binary bool, msg []byte) frame {
	switch {
	case binary && rev == EIO4:
		return frame{kind: frameMessage, binary: true, data: msg}
	case len(msg) == 0:
		return frame{}
	case binary && msg[0] > 6:
		return frame{}
	case binary:
		return frame{kind: '0' + msg[0], binary: true, data: msg[1:]}
	case msg[0] < '0' || msg[0] > '6':
		return frame{}
	}
	return frame{kind: msg[0], data: msg[1:]}
}
