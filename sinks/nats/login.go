package nats

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
)

// Login has the credentials. It requires a url.
type Login struct {
	// CredsFile (yaml: creds_file) is the path of a credentials file from nsc. It is read at each connect.
	CredsFile string `yaml:"creds_file"`
	// User (yaml: user) with Password (yaml: password), or with PasswordFile (yaml: password_file), the path of a file
	// with the password.
	User         string        `yaml:"user"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// Token (yaml: token), or TokenFile (yaml: token_file), the path of a file with the token.
	Token     secret.String `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
}

func (c *Config) validateLogin() error {
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
				errs = append(errs, field.Wrap(k, errors.New("requires a url: relay logs in to its own server by itself")))
			}
		}
		return errors.Join(errs...)
	}
	errs = append(errs, field.OneOf(set, "creds_file", "token", "token_file", "user"), field.OneOf(set, "password", "password_file"))
	withPassword := set["password"] || set["password_file"]
	if set["user"] != withPassword {
		errs = append(errs, field.Wrap("user", errors.New("requires password or password_file: set both or neither")))
	}
	if servers, err := parseServers(c.URL); err == nil {
		inURL := slices.ContainsFunc(servers, func(u *url.URL) bool { return u.User != nil })
		if inURL && (set["creds_file"] || set["token"] || set["token_file"] || set["user"]) {
			errs = append(errs, field.Wrap("url", errors.New("has a login, and so do other keys: keep one of the two")))
		}
	}
	return errors.Join(errs...)
}

// login reads the files and returns the options of the connection, and all secrets in them.
func (c *Config) login(servers []*url.URL) ([]nats.Option, []secret.String, error) {
	var options []nats.Option
	secrets := []secret.String{c.URL, c.Password, c.Token}
	for _, u := range servers {
		if u.User == nil {
			continue
		}
		if p, ok := u.User.Password(); ok {
			secrets = append(secrets, secret.New(p))
		} else { // a user name alone is a token
			secrets = append(secrets, secret.New(u.User.Username()))
		}
	}
	password, token := c.Password, c.Token
	var err error
	if c.PasswordFile != "" {
		if password, err = field.ReadSecretLine("password_file", c.PasswordFile); err != nil {
			return nil, nil, err
		}
	}
	if c.TokenFile != "" {
		if token, err = field.ReadSecretLine("token_file", c.TokenFile); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case c.CredsFile != "":
		if err := CheckCredentials(c.CredsFile); err != nil {
			return nil, nil, field.Wrap("creds_file", err)
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

// CheckCredentials rejects a file without the credentials of a NATS user: a JWT and a seed.
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
		return fmt.Errorf("%s has no credentials of a NATS user: use the file that nsc makes, with a JWT and a seed", path)
	}
	return nil
}

// parseServers splits a list of NATS URLs. Its errors do not quote them, because they may have a password.
func parseServers(text secret.String) ([]*url.URL, error) {
	var servers []*url.URL
	for part := range strings.SplitSeq(text.Reveal(), ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, errors.New("is not a NATS URL: write nats://HOST:4222 or tls://HOST:4222, several with commas between, " +
				"and percent-encode special characters in a password")
		}
		servers = append(servers, u)
	}
	return servers, nil
}

// hosts formats servers without their logins.
func hosts(servers []*url.URL) string {
	var b []string
	for _, u := range servers {
		b = append(b, u.Scheme+"://"+u.Host)
	}
	return strings.Join(b, ",")
}
