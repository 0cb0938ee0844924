package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
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
//
// The stream is created when there is none, and one that relay created follows the configuration. A stream made by
// someone else is used as it is, if it takes the subject. The login needs leave to publish on the subject and on
// $JS.API.STREAM.INFO, CREATE and UPDATE of the stream, and to subscribe to _INBOX.>.
type NATSConfig struct {
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
	URL      secret.String `yaml:"url"`
	Login    `yaml:",inline"`
	TLSFiles `yaml:",inline"` // with a certificate to trust or to show, the connection is encrypted or not made

	answerTimeout time.Duration // for tests
}

// Login says how to log in. It is of use only with a url.
type Login struct {
	// CredsFile (yaml: creds_file) is the path of a credentials file, as nsc writes it. It is read at each connect.
	CredsFile string `yaml:"creds_file"`
	// User (yaml: user) and Password (yaml: password), or PasswordFile (yaml: password_file), the path of a file that
	// holds it, log in by name.
	User         string        `yaml:"user"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// Token (yaml: token), or TokenFile (yaml: token_file), the path of a file that holds it, log in by token.
	Token     secret.String `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
}

// NewNATSConfig returns a configuration with its defaults filled in.
func NewNATSConfig() *NATSConfig {
	return &NATSConfig{Subject: DefaultNATSSubject, Stream: DefaultNATSStream, Retention: DefaultNATSRetention}
}

// Validate implements [Config].
func (c *NATSConfig) Validate() error {
	errs := []error{
		field("subject", checkSubject(c.Subject)),
		field("stream", checkStreamName(c.Stream)),
		c.validateLogin(),
	}
	if c.Retention < time.Minute {
		errs = append(errs, field("retention", fmt.Errorf("%v is less than a minute: give it a unit, as in 72h", c.Retention)))
	}
	if !c.URL.Empty() {
		_, err := parseServers(c.URL)
		errs = append(errs, field("url", err))
	}
	return errors.Join(append(errs, c.CheckTLS())...)
}

func (c *NATSConfig) validateLogin() error {
	keys := []string{
		"creds_file", "token", "token_file", "user", "password", "password_file", "tls_ca_file", "tls_cert_file",
		"tls_key_file",
	}
	set := map[string]bool{
		"creds_file": c.CredsFile != "", "token": !c.Token.Empty(), "token_file": c.TokenFile != "", "user": c.User != "",
		"password": !c.Password.Empty(), "password_file": c.PasswordFile != "", "tls_ca_file": c.TLSCAFile != "",
		"tls_cert_file": c.TLSCertFile != "", "tls_key_file": c.TLSKeyFile != "",
	}
	var errs []error
	if c.URL.Empty() {
		for _, k := range keys {
			if set[k] {
				errs = append(errs, field(k, errors.New("is of use only with a url: relay logs in to its own server by itself")))
			}
		}
		return errors.Join(errs...)
	}
	errs = append(errs, oneOf(set, "creds_file", "token", "token_file", "user"), oneOf(set, "password", "password_file"))
	withPassword := set["password"] || set["password_file"]
	if set["user"] != withPassword {
		errs = append(errs, field("user", errors.New("goes together with password or password_file: set both or none")))
	}
	if servers, err := parseServers(c.URL); err == nil {
		inURL := slices.ContainsFunc(servers, func(u *url.URL) bool { return u.User != nil })
		if inURL && (set["creds_file"] || set["token"] || set["token_file"] || set["user"]) {
			errs = append(errs, field("url", errors.New("holds a login besides the one of the other keys: keep one of the two")))
		}
	}
	return errors.Join(errs...)
}

// CheckFiles implements [Config].
func (c *NATSConfig) CheckFiles() error {
	if c.URL.Empty() {
		return nil
	}
	servers, err := parseServers(c.URL)
	if err != nil {
		return field("url", err)
	}
	_, _, err = c.login(servers)
	return err
}

// Concurrency implements [Config].
func (*NATSConfig) Concurrency() int { return 0 }

// NATSEnv is what the sink uses of the process it runs in.
type NATSEnv struct {
	Name string // the sink's name in the configuration
	// Connect connects to the server that relay itself runs for overlay backends. It is called only without a url; the connection belongs to
	// the sink from then on.
	Connect func(ctx context.Context) (*nats.Conn, error)
	// Store says what that server holds durably, see [pipeline.Resumer]. If it is nil, the sink's lane cannot know.
	Store NATSStore
	// Revive makes that server able to write again, if it cannot since a disk was full. It may be called often.
	Revive  func() error
	Attempt AttemptLog
	Log     zerolog.Logger
}

// NATSStore is what is known of the disk of the server that relay itself runs, as [natsserver.Server] implements it.
type NATSStore interface {
	// Sync makes durable what the server's streams hold now.
	Sync(ctx context.Context) error
	// Synced returns up to where a stream was durable at the last Sync, and false if that is not known.
	Synced(stream string) (natsserver.Held, bool)
}

// Open reads the files the configuration names, and does not wait for a server that is down:
// the sink connects when it comes up, and Deliver fails until then.
func (c *NATSConfig) Open(ctx context.Context, env NATSEnv) (pipeline.Sink, error) {
	s := &natsSink{
		subjects: subjects{subject: c.Subject},
		stream:   streamConfig(c.Stream, c.Subject, c.Retention),
		gate:     make(chan struct{}, 1),
		life:     life{closing: make(chan struct{}), stop: func() {}},
		attempt:  env.Attempt,
		timeout:  cmp.Or(c.answerTimeout, natsAckTimeout),
		link:     &link{log: env.Log, waits: map[*context.CancelCauseFunc]struct{}{}},
	}
	if c.URL.Empty() {
		if env.Connect == nil {
			return nil, field("url", errors.New("is missing, and relay runs no NATS server of its own here"))
		}
		s.link.server = "relay's own NATS server"
		s.own = &ownServer{revive: env.Revive, store: env.Store}
		s.dial = func(ctx context.Context) (*nats.Conn, error) {
			nc, err := env.Connect(ctx)
			if err == nil {
				s.link.adopt(nc)
			}
			return nc, err
		}
		if _, err := s.connect(ctx); err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("open nats sink: %w", err)
		}
		return s, nil
	}
	servers, err := parseServers(c.URL)
	if err != nil {
		return nil, field("url", err)
	}
	login, secrets, err := c.login(servers)
	if err != nil {
		return nil, err
	}
	s.link.secrets = secrets
	s.link.server = hosts(servers)
	options := append(s.link.options(env.Name), login...)
	s.dial = func(context.Context) (*nats.Conn, error) { return nats.Connect(c.URL.Reveal(), options...) }
	ctx, s.life.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.life.start(func() {
		// What is wrong is logged, and said again by Deliver.
		_, _ = s.connect(ctx)
	})
	return s, nil
}

// login reads the files and returns the connection's options, and every secret among them.
func (c *NATSConfig) login(servers []*url.URL) ([]nats.Option, []secret.String, error) {
	var options []nats.Option
	secrets := []secret.String{c.URL, c.Password, c.Token}
	for _, u := range servers {
		if u.User == nil {
			continue
		}
		if p, ok := u.User.Password(); ok {
			secrets = append(secrets, secret.New(p))
		} else { // A lone name is a token.
			secrets = append(secrets, secret.New(u.User.Username()))
		}
	}
	password, token := c.Password, c.Token
	var err error
	if c.PasswordFile != "" {
		if password, err = readSecretLine("password_file", c.PasswordFile); err != nil {
			return nil, nil, err
		}
	}
	if c.TokenFile != "" {
		if token, err = readSecretLine("token_file", c.TokenFile); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case c.CredsFile != "":
		if err := CheckCredentials(c.CredsFile); err != nil {
			return nil, nil, field("creds_file", err)
		}
		options = append(options, nats.UserCredentials(c.CredsFile))
	case c.User != "":
		options = append(options, nats.UserInfo(c.User, password.Reveal()))
	case !token.Empty():
		options = append(options, nats.Token(token.Reveal()))
	}
	if c.TLSCAFile != "" || c.TLSCertFile != "" {
		config, err := c.TLSConfig()
		if err != nil {
			return nil, nil, err
		}
		options = append(options, nats.Secure(config))
	}
	return options, append(secrets, password, token), nil
}

// CheckCredentials refuses a file without the credentials of a NATS user: a JWT and a seed.
func CheckCredentials(path string) error {
	text, err := secret.ReadFile(path)
	if err != nil {
		return err
	}
	jwt, seed := false, false
	for line := range strings.Lines(text.Reveal()) {
		line = strings.TrimSpace(line)
		jwt = jwt || strings.HasPrefix(line, "eyJ") && strings.Count(line, ".") == 2
		seed = seed || strings.HasPrefix(line, "SU")
	}
	if !jwt || !seed {
		return fmt.Errorf("%s holds no credentials of a NATS user: it is the file that nsc makes, with a JWT and a seed", path)
	}
	return nil
}

// parseServers splits a NATS URL. Its errors do not quote the URL, which may hold a password.
func parseServers(text secret.String) ([]*url.URL, error) {
	var servers []*url.URL
	for part := range strings.SplitSeq(text.Reveal(), ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, errors.New("is not a NATS URL: write nats://HOST:4222 or tls://HOST:4222, several with commas between, " +
				"and percent-encode what is special in a password")
		}
		servers = append(servers, u)
	}
	return servers, nil
}

// hosts shows servers without their logins.
func hosts(servers []*url.URL) string {
	var b []string
	for _, u := range servers {
		b = append(b, u.Scheme+"://"+u.Host)
	}
	return strings.Join(b, ",")
}
