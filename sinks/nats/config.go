package nats

import (
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
)

// The defaults of a nats sink.
const (
	defaultSubject   = "treats.{provider}.{account}"
	defaultStream    = "TREATS"
	defaultRetention = 72 * time.Hour
)

// Config configures a nats sink, which publishes every event to a JetStream stream.
//
// relay creates the stream if it does not exist, and a stream that relay created follows the configuration. It uses any other stream as it is, if
// that stores the subject. The login must be allowed to publish on the subject and on $JS.API.STREAM.INFO, CREATE and UPDATE of the stream, and to
// subscribe to _INBOX.>.
type Config struct {
	// The subject to publish to. `{provider}` and `{account}` stand for the event's own.
	Subject string `yaml:"subject"`
	// The stream that stores the events; relay creates it if it does not exist. Each nats sink on one server needs its own.
	//
	// A stream stores each event once, so it would take the event of another sink for a duplicate.
	Stream string `yaml:"stream"`
	// How long a stream that relay created keeps an event.
	Retention time.Duration `yaml:"retention"`
	// Another NATS server, such as `tls://nats.example:4222`; several of one cluster, separated by commas.
	//
	// Default: relay's own server.
	URL            secret.String `yaml:"url" value:"URL"`
	Login          `yaml:",inline"`
	field.TLSFiles `yaml:",inline"` // With a certificate to trust or to show, relay never connects without TLS.

	answerTimeout time.Duration // for tests
}

// NewConfig returns the default configuration.
func NewConfig() *Config {
	return &Config{Subject: defaultSubject, Stream: defaultStream, Retention: defaultRetention}
}

// Validate checks the values and returns all errors, joined. An error about one key is a [field.Error].
func (c *Config) Validate() error {
	errs := []error{
		field.Wrap("subject", checkSubject(c.Subject)),
		field.Wrap("stream", checkStreamName(c.Stream)),
		c.validateLogin(),
	}
	if c.Retention < time.Minute {
		errs = append(errs, field.Wrap("retention", fmt.Errorf("%v is less than a minute: give it a unit, as in 72h", c.Retention)))
	}
	if !c.URL.Empty() {
		_, err := parseServers(c.URL)
		errs = append(errs, field.Wrap("url", err))
	}
	return errors.Join(append(errs, c.CheckTLS())...)
}

// CheckFiles reads the files that the configuration names and returns all errors, joined. It opens no connection.
func (c *Config) CheckFiles() error {
	if c.URL.Empty() {
		return nil
	}
	servers, err := parseServers(c.URL)
	if err != nil {
		return field.Wrap("url", err)
	}
	_, _, err = c.login(servers)
	return err
}

// Concurrency returns 0, for no limit.
func (*Config) Concurrency() int { return 0 }
