package socket

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	eio "github.com/zishang520/engine.io-client-go/engine"
	eiopacket "github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/types"
	sio "github.com/zishang520/socket.io-client-go/socket"
	"github.com/zishang520/socket.io-go-parser/v2/parser"
)

// engine is the state machine of one connection, by github.com/zishang520/socket.io-client-go: which packets open it,
// which namespaces are joined, when it is over. That package speaks only Engine.IO 4, decodes into maps, starts a
// goroutine per packet, dials without a deadline, and can panic. So it is used through its two extension points: the
// transport is an open [link], and the parser delivers events by itself. Heartbeats and timeouts stay outside, and it
// never learns the URL, hence no token.
//
// Only the goroutine that reads the link calls into it. So it runs in the order of the wire and leaves no goroutine
// behind but its timer while it is open.
type engine struct {
	transport *transport
	decoder   *decoder
	sockets   []*sio.Socket
	incoming  message          // of the packet below, used again for each frame
	packet    eiopacket.Packet // likewise
	onJoin    func(namespace string)
	onRefuse  func(namespace, text string)
}

// notice is what the engine must learn from a Socket.IO packet.
type notice struct {
	kind      byte // packetConnect, packetDisconnect or packetError; zero: nothing
	namespace string
	text      string // the session id of a connect, the reason of an error
}

// never is the duration for timers of the package that must never fire.
const never = 100 * 365 * 24 * time.Hour

// newEngine makes the engine of one connection. It sends with write, passes each message to read, and calls onJoin and
// onRefuse, all within open and receive.
func newEngine(rev Protocol, namespaces []string, write func(text string), read func(frame) notice) *engine {
	e := &engine{
		transport: &transport{Transport: eio.MakeTransport(), rev: rev, write: write},
		decoder:   &decoder{EventEmitter: types.NewEventEmitter(), read: read},
	}
	e.packet = eiopacket.Packet{Type: eiopacket.MESSAGE, Data: &e.incoming}

	opts := sio.DefaultManagerOptions()
	opts.SetAutoConnect(false)
	opts.SetReconnection(false) // a Manager that reconnects leaks; there is one for each connection instead
	opts.SetTimeout(never)
	opts.SetUpgrade(false)
	opts.SetTransports(types.NewSet[eio.TransportCtor](e.transport))
	opts.SetParser(e.decoder)
	e.decoder.manager = sio.NewManager("ws://link", opts)
	for _, namespace := range namespaces {
		e.sockets = append(e.sockets, e.join(namespace))
	}
	return e
}

func (e *engine) join(namespace string) *sio.Socket {
	socket := e.decoder.manager.Socket(namespace, nil)
	listen := func(name types.EventName, then func(arg any)) {
		// The emitter only fails when it is given no listener.
		_ = socket.On(name, func(args ...any) {
			if len(args) == 0 {
				args = []any{nil}
			}
			then(args[0])
		})
	}
	listen("connect", func(any) { e.onJoin(namespace) })
	listen("connect_error", func(reason any) {
		text := "no reason given"
		if refusal, ok := reason.(error); ok {
			text = refusal.Error()
		}
		e.onRefuse(namespace, text)
	})
	return socket
}

// open starts the session that the server announced, and joins the namespaces.
func (e *engine) open(sid string) error {
	return guard("open", func() {
		for _, socket := range e.sockets {
			socket.Connect() // the first creates the transport, whose listeners are set when this returns
		}
		e.transport.OnOpen()
		// The engine must not handle heartbeats: its timer would declare a server dead while we pause reading.
		name, _ := json.Marshal(sid) //nolint:errchkjson // A string cannot fail to encode.
		handshake := fmt.Sprintf(`{"sid":%s,"upgrades":[],"pingInterval":%d,"pingTimeout":%[2]d}`,
			name, (never / 2).Milliseconds())
		e.transport.OnPacket(&eiopacket.Packet{Type: eiopacket.OPEN, Data: strings.NewReader(handshake)})
	})
}

// receive handles one message.
func (e *engine) receive(f frame) error {
	e.incoming.frame = f
	return guard("receive", func() { e.transport.OnPacket(&e.packet) })
}

// close ends the session and stops the engine's timers. It does not close the link.
func (e *engine) close() error {
	// Disconnect of the package is not used: it passes a nil error to a listener that asserts one, and panics.
	return guard("close", func() { e.transport.OnClose(errors.New("closed")) })
}

// guard turns a panic of the package into an error, which ends the connection only.
func guard(op string, call func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &fault{kindLost, fmt.Errorf("socket.io client: %s: panic: %v", op, r)}
		}
	}()
	call()
	return nil
}

// transport presents an open link to the package as its "websocket". It is also its own constructor.
type transport struct {
	eio.Transport
	rev   Protocol
	write func(text string)
}

// New implements eio.TransportCtor.
func (t *transport) New(socket eio.Socket, opts eio.SocketOptionsInterface) eio.Transport {
	t.Prototype(t)
	t.Construct(socket, opts)
	return t
}

// Name implements eio.TransportCtor and eio.Transport.
func (t *transport) Name() string { return "websocket" }

// DoOpen does nothing, since the link is open.
func (t *transport) DoOpen() {}

// DoClose does nothing: the owner closes the link.
func (t *transport) DoClose() {}

// Write sends packets at once and in order. The package calls it under its flush lock, so it must not emit "drain"; the
// transport stays writable, so nobody waits for that.
func (t *transport) Write(packets []*eiopacket.Packet) {
	for _, p := range packets {
		body, ok := p.Data.(interface{ Bytes() []byte })
		if p.Type != eiopacket.MESSAGE || !ok {
			continue
		}
		text := string(body.Bytes())
		if t.rev == EIO3 && strings.HasPrefix(text, string(packetConnect)) {
			// A server of version 1 or 2 has joined us to "/" by itself: a second connect could double every
			// event. It takes no payload for the others.
			namespace, _, _ := strings.Cut(text[1:], ",")
			if !strings.HasPrefix(namespace, "/") {
				continue
			}
			text = string(packetConnect) + namespace
		}
		t.write(string(frameMessage) + text)
	}
}

// message passes a frame through the package to the decoder.
type message struct{ frame }

// Read implements io.Reader, as the package requires. It does not read.
func (*message) Read([]byte) (int, error) { return 0, io.EOF }

// decoder is the parser of the package. Events end in read; the rest goes to the package, without a goroutine each.
type decoder struct {
	types.EventEmitter
	manager *sio.Manager
	read    func(frame) notice
}

// NewEncoder implements parser.Parser.
func (d *decoder) NewEncoder() parser.Encoder { return parser.NewEncoder() }

// NewDecoder implements parser.Parser.
func (d *decoder) NewDecoder() parser.Decoder { return d }

// Destroy implements parser.Decoder.
func (d *decoder) Destroy() {}

// Add implements parser.Decoder.
func (d *decoder) Add(data any) error {
	m, ok := data.(*message)
	if !ok {
		return fmt.Errorf("decode: unexpected %T", data)
	}
	switch n := d.read(m.frame); n.kind {
	case packetConnect:
		d.emit(n, map[string]any{"sid": n.text})
	case packetError:
		d.emit(n, map[string]any{"message": n.text, "data": ""}) // without data the package loses the message
	case packetDisconnect:
		d.emit(n, nil)
	}
	return nil
}

func (d *decoder) emit(n notice, data any) {
	d.manager.Emit("packet", &parser.Packet{Type: parser.PacketType(n.kind), Nsp: n.namespace, Data: data})
}
