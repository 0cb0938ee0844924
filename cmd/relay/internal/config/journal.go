package config

import (
	"time"

	"github.com/treatrelay/relay/internal/secret"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// Journal is the section journal. An empty NATSURL keeps it in files of the data folder.
type Journal struct {
	NATSURL   secret.String `yaml:"nats_url"`
	CredsFile string        `yaml:"creds_file"`
	Token     secret.String `yaml:"token"`
	TokenFile string        `yaml:"token_file"` // always empty in a [Config]: Token holds what it said
	Retention time.Duration `yaml:"retention"`
	Replicas  int           `yaml:"replicas"` // of the journal on the server; 0: 3 in a cluster of three or more, else 1
}

func (j *Journal) check(d *decoder) {
	d.secretFile("journal", "token", &j.Token, &j.TokenFile)
	if j.Retention < time.Minute {
		d.reject("journal.retention", "is less than a minute: give it a unit, as in 840h")
	}
	if d.given("journal.nats_url") {
		d.check("journal.nats_url", checkNATS(j.NATSURL.Reveal()))
	}
	for _, key := range []string{"journal.creds_file", "journal.token", "journal.replicas"} {
		if d.given(key) && !d.given("journal.nats_url") {
			d.reject(key, "is of use only with nats_url: without it the journal is in files")
		}
	}
	if d.files && d.given("journal.creds_file") && !d.faults.at["journal.creds_file"] {
		d.check("journal.creds_file", natssink.CheckCredentials(j.CredsFile))
	}
	if j.Replicas < 0 || j.Replicas > 5 {
		d.reject("journal.replicas", "want a number from 1 to 5, and no more than the cluster has servers")
	}
	if d.given("journal.creds_file") && d.given("journal.token") {
		d.reject("journal.creds_file", "this and a token are both set: keep one of them")
	}
}
