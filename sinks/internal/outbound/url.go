package outbound

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
)

// Target is the URL of a receiver. It is a secret, because anybody who knows it can use it. One of the two keys is
// required.
type Target struct {
	URL     secret.String `yaml:"url"`
	URLFile string        `yaml:"url_file"` // the path of a file with the URL
}

// ReadURL returns the URL and the key that provides it.
func (t *Target) ReadURL() (text secret.String, key string, err error) {
	if t.URLFile == "" {
		return t.URL, "url", nil
	}
	text, err = field.ReadSecretLine("url_file", t.URLFile)
	return text, "url_file", err
}

// UnwrapURL removes a [url.Error], whose text has the whole URL.
func UnwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// ParseURL checks the URL of a receiver, removes its fragment and normalizes its host. Its errors do not quote it.
func ParseURL(text secret.String) (*url.URL, error) {
	u, err := url.Parse(text.Reveal())
	switch {
	case err != nil:
		return nil, errors.New("is not a valid URL: write it as https://HOST/PATH and percent-encode special characters")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("is not an http or https URL with a host: write https://HOST/PATH")
	case u.User != nil:
		return nil, errors.New("contains a user or password: remove it and set headers, as in {Authorization: Basic ...}")
	case strings.ContainsFunc(text.Reveal(), unicode.IsSpace):
		return nil, errors.New("contains a space: remove it, or write %20 if it belongs there")
	case badPort(u):
		return nil, errors.New("the port must be a number from 1 to 65535")
	}
	u.Fragment = ""
	return u, plainHost(u)
}

func badPort(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() != "" && (err != nil || port == 0)
}

// plainHost normalizes the host of u.
func plainHost(u *url.URL) error {
	host, err := parseHost(u.Hostname())
	if err != nil {
		return err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	u.Host = host
	return nil
}

// ParseProxy checks the URL of a proxy. It returns nil for an empty one. Its errors do not quote it.
func ParseProxy(text secret.String) (*url.URL, error) {
	if text.Empty() {
		return nil, nil //nolint:nilnil // no proxy is no error
	}
	u, err := url.Parse(text.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("is not the URL of a proxy: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, " +
			"and percent-encode special characters in a password")
	}
	return u, plainHost(u)
}
