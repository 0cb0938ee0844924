package sinks

import (
	"context"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// The defaults of a nats sink.
const (
	DefaultNATSSubject   = "treats.{provider}.{account}"
	DefaultNATSStream    = "TREATS"
	DefaultNATSRetention = 72 * time.Hour
)

// NATSConfig configures a nats sink, which publishes every event to a JetStream stream.
type NATSConfig struct {
	// Subject (yaml: subject) is where an event is published. {provider} and {account} stand for the event's own.
	// Default: treats.{provider}.{account}.
	Subject string `yaml:"subject"`
	// Stream (yaml: stream) is the JetStream stream that keeps the events. It is created when there is none. Each nats
	// sink on one server wants a stream of its own: a stream accepts an event once. Default: TREATS.
	Stream string `yaml:"stream"`
	// Retention (yaml: retention) is how long a stream that relay created keeps an event. Default: 72h.
	Retention time.Duration `yaml:"retention"`

	// URL (yaml: url) is the NATS server, or several of one cluster with commas between, such as
	// nats://nats.example:4222 or tls://nats.example:4222. Default: the server relay runs itself.
	URL secret.String `yaml:"url"`
	// CredsFile (yaml: creds_file) is the path of a credentials file, as nsc writes it.
	CredsFile string `yaml:"creds_file"`
	// User (yaml: user) and Password (yaml: password), or PasswordFile (yaml: password_file), the path of a file that
	// holds it, log in by name.
	User         string        `yaml:"user"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// Token (yaml: token), or TokenFile (yaml: token_file), the path of a file that holds it, log in by token.
	Token     secret.String `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
	// TLSCAFile (yaml: tls_ca_file) is the path of the PEM certificates to trust instead of the system's.
	TLSCAFile string `yaml:"tls_ca_file"`
	// TLSCertFile (yaml: tls_cert_file) and TLSKeyFile (yaml: tls_key_file) are the paths of the PEM certificate and key
	// relay shows to the server.
	TLSCertFile string `yaml:"tls_cert_file"`
	TLSKeyFile  string `yaml:"tls_key_file"`
}

// Validate implements [Config].
func (*NATSConfig) Validate() error { return nil }

// Open implements [Config].
func (*NATSConfig) Open(context.Context, Env) (pipeline.Sink, error) { panic("to be written") }
