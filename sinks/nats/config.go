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
	DefaultSubject   = "treats.{provider}.{account}"
	DefaultStream    = "TREATS"
	DefaultRetention = 72 * time.Hour
)

// Config configures a nats sink, which publishes every event to a JetStream stream.
//
// The stream is created when there is none, and one that relay created follows the configuration. A stream made by
// someone else is used as it is, if it takes the subject. The login needs leave to publish on the subject and on
// $JS.API.STREAM.INFO, CREATE and UPDATE of the stream, and to subscribe to _INBOX.>.
type Config struct {
	// Subject (yaml: subject) is where an event is published. {provider} and {account} stand for the event's own.
	// Default: treats.{provider}.{account}.
	Subject string `yaml:"subject"`
	// Stream (yaml: stream) is the JetStream stream that keeps the events. Each nats sink on one server wants a stream of
	// its own, for a stream accepts an event once and takes the other sink's for a copy. Default: TREATS.
	Stream string `yaml:"stream"`
	// Retention (yaml: retention) is how long a stream that relay created keeps an event, at least 1m. Default: 72h.
	Retention time.Duration `yaml:"retention"`

	// URL (yaml: url) is the NATS server, or several of one cluster with commas between, such as
	// nats://nats.example:4222 or tls://nats.example:4222. Default: the server relay runs itself.
	URL            secret.String `yaml:"url"`
	Login          `yaml:",inline"`
	field.TLSFiles `yaml:",inline"` // with a certificate to trust or to show, the connection is encrypted or not made

	answerTimeout time.Duration // for tests
}

// NewConfig returns a configuration with its defaults filled in.
func NewConfig() *Config {
	return &Config{Subject: DefaultSubject, Stream: DefaultStream, Retention: DefaultRetention}
}

// Validate checks the values and returns every fault, joined. An error that concerns one key is a [field.Error].
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

// CheckFiles reads the files that the configuration names and returns what is wrong with them. Nothing is connected to.
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

// Concurrency is how many deliveries at a time suit such a destination; 0 is any number.
func (*Config) Concurrency() int { return 0 }
