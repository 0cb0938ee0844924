package config

import (
	"time"

	"github.com/treatrelay/relay/internal/secret"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// DefaultRetention is how long the journal keeps events.
const DefaultRetention = 840 * time.Hour

// Journal is the section journal. Without a NATSURL the journal is in files in the data folder.
type Journal struct {
	// How long relay keeps events. A sink loses what it has not accepted by then.
	Retention time.Duration `yaml:"retention" min:"1m"`
	// A NATS server with JetStream that keeps the journal instead; several of one cluster, separated by commas.
	//
	// Default: files.
	NATSURL secret.String `yaml:"nats_url" value:"URL"`
	// How many servers of a cluster keep each event. With 3, one server may fail and writing continues.
	//
	// Default: 3 in a cluster of three or more, else 1.
	Replicas int `yaml:"replicas" min:"1" max:"5"` // 0: the default
	// A credentials file for that server.
	CredsFile string `yaml:"creds_file"`
	// A token for that server, instead of `creds_file`.
	Token secret.String `yaml:"token"`
	// The file with the token.
	//
	// It is always empty in a [Config], where Token has the content of the file.
	TokenFile string `yaml:"token_file"`
}

func (j *Journal) check(d *decoder, _ *sections) {
	d.secretFile("journal", "token", &j.Token, &j.TokenFile)
	if d.given("journal.nats_url") {
		d.check("journal.nats_url", checkNATS(j.NATSURL.Reveal()))
	}
	for _, key := range []string{"journal.creds_file", "journal.token", "journal.replicas"} {
		if d.given(key) && !d.given("journal.nats_url") {
			d.reject(key, "applies only with nats_url: without it the journal is in files")
		}
	}
	if d.files && d.given("journal.creds_file") && !d.faults.at["journal.creds_file"] {
		d.check("journal.creds_file", natssink.CheckCredentials(j.CredsFile))
	}
	if d.given("journal.creds_file") && d.given("journal.token") {
		d.reject("journal.creds_file", "this and a token are both set: keep one of them")
	}
}
