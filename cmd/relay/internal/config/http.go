package config

// HTTP is the section http.
type HTTP struct {
	// Where relay serves `/healthz`, [`/readyz`](operating.md#ready-or-not) and `/metrics`; above 128 connections, it closes those that are idle.
	//
	// Default: off.
	Listen string `yaml:"listen" value:"address and port"` // Empty: off.
}

func (h HTTP) check(d *decoder, file *sections) {
	if h.Listen == "" {
		return
	}
	d.check("http.listen", checkListen(h.Listen))
	if !file.runsNATS() {
		return
	}
	for key, other := range map[string]string{"nats.listen": file.NATS.Listen, "nats.websocket": file.NATS.Websocket} {
		if sameListen(h.Listen, other) {
			d.reject("http.listen", "is the address of "+key+" too: choose another port")
		}
	}
}
