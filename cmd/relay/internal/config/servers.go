package config

import (
	"net"
	"net/netip"

	natssink "github.com/treatrelay/relay/sinks/nats"
)

// NATS is the section nats, about the server that relay runs itself.
type NATS struct {
	Listen    string `yaml:"listen"`
	Websocket string `yaml:"websocket"` // for pages; empty: none
}

// HTTP is the section http. An empty Listen means no HTTP server.
type HTTP struct {
	Listen string `yaml:"listen"`
}

// checkPorts refuses two servers of relay's on one address.
func (k *fileKeys) checkPorts(d *decoder) {
	overlays := ""
	for _, s := range k.Sinks {
		if n, ok := s.Config.(*natssink.Config); ok && n.URL.Empty() {
			overlays = k.NATS.Listen
		}
	}
	pages := k.NATS.Websocket
	if overlays == "" {
		pages = ""
	}
	if sameListen(overlays, pages) {
		d.reject("nats.websocket", "is the address of nats.listen too: give it another port")
	}
	for key, other := range map[string]string{"nats.listen": overlays, "nats.websocket": pages} {
		if sameListen(k.HTTP.Listen, other) {
			d.reject("http.listen", "is the address of "+key+" too: give it another port")
		}
	}
}

// sameListen reports whether two servers cannot listen there at the same time.
func sameListen(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	every := func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return host == "" || err == nil && addr.IsUnspecified()
	}
	return hostA == hostB || every(hostA) || every(hostB)
}
