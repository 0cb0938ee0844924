package sinks

import (
	"context"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// DefaultWebhookTimeout is how long one request of a webhook sink may take.
const DefaultWebhookTimeout = 15 * time.Second

// WebhookConfig configures a webhook sink, which sends every event in a POST request of its own, signed as Standard
// Webhooks demands.
type WebhookConfig struct {
	// URL (yaml: url), or URLFile (yaml: url_file), the path of a file that holds it, is where events are sent: http or
	// https, without user and password. It is treated as a secret, for it may hold a token. One of the two is needed.
	URL     secret.String `yaml:"url"`
	URLFile string        `yaml:"url_file"`
	// Secret (yaml: secret), SecretFile (yaml: secret_file), the path of a file that holds it, or Secrets (yaml: secrets),
	// a list with the newest first, sign each request: whsec_ and 24 to 64 bytes in base64. With several, each signs, so
	// that a receiver can change over in its own time. One of the three is needed.
	Secret     secret.String   `yaml:"secret"`
	SecretFile string          `yaml:"secret_file"`
	Secrets    []secret.String `yaml:"secrets"`
	// Timeout (yaml: timeout) bounds one request, from the name lookup to the end of the answer. Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
	// Headers (yaml: headers) are sent with each request. Their values are treated as secrets.
	Headers map[string]secret.String `yaml:"headers"`
	// TLSCAFile (yaml: tls_ca_file) is the path of the PEM certificates to trust instead of the system's.
	TLSCAFile string `yaml:"tls_ca_file"`
}

// Validate implements [Config].
func (*WebhookConfig) Validate() error { return nil }

// Open implements [Config].
func (*WebhookConfig) Open(context.Context, Env) (pipeline.Sink, error) { panic("to be written") }
