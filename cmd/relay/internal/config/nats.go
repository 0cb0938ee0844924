package config

import (
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// DefaultNATSListen is the address of relay's own NATS server.
const DefaultNATSListen = "127.0.0.1:4222"

// NATS is the section nats, about the NATS server inside relay.
type NATS struct {
	// Where overlays reach relay's own NATS server, if a sink uses it. Port 0 is any free port.
	Listen string `yaml:"listen" value:"address and port"`
	// Where overlay pages in a browser or in OBS reach that server, with NATS over WebSocket, such as `127.0.0.1:8351`; see
	// [examples/overlay](../examples/overlay). It is not encrypted: keep it on this machine or inside a private network.
	//
	// Default: off.
	Websocket string `yaml:"websocket" value:"address and port"` // Empty: off.
}

func (n NATS) check(d *decoder, file *sections) {
	d.check("nats.listen", checkListen(n.Listen))
	if n.Websocket != "" {
		d.check("nats.websocket", checkListen(n.Websocket))
	}
	if file.runsNATS() && sameListen(n.Listen, n.Websocket) {
		d.reject("nats.websocket", "is the address of nats.listen too: choose another port")
	}
}

// runsNATS reports whether a sink uses relay's own NATS server.
func (s *sections) runsNATS() bool {
	for _, sink := range s.Sinks {
		if n, ok := sink.Config.(*natssink.Config); ok && n.URL.Empty() {
			return true
		}
	}
	return false
}
