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
// relay creates the stream if there is none, and updates a stream that it created when the configuration changes. It
// uses a stream that somebody else created as it is, if that stream accepts the subject. The login needs permission to
// publish to the subject and to $JS.API.STREAM.INFO, CREATE and UPDATE of the stream, and to subscribe to _INBOX.>.
type Config struct {
	// Subject (yaml: subject) is the subject to publish to. {provider} and {account} are replaced by those of the
	// event. Default: treats.{provider}.{account}.
	Subject string `yaml:"subject"`
	// Stream (yaml: stream) is the JetStream stream that stores the events. Each nats sink on one server needs its own
	// stream, because a stream treats the same event from another sink as a duplicate. Default: TREATS.
	Stream string `yaml:"stream"`
	// Retention (yaml: retention) is how long a stream that relay created keeps an event, at least 1m. Default: 72h.
	Retention time.Duration `yaml:"retention"`

	// URL (yaml: url) is the NATS server, or several of one cluster separated by commas, such as
	// nats://nats.example:4222 or tls://nats.example:4222. Default: the server that relay runs itself.
	URL            secret.String `yaml:"url"`
	Login          `yaml:",inline"`
	field.TLSFiles `yaml:",inline"` // if set, the connection must be encrypted

	answerTimeout time.Duration // for tests
}

// NewConfig returns the default configuration.
func NewConfig() *Config {
	return &Config{Subject: DefaultSubject, Stream: DefaultStream, Retention: DefaultRetention}
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
