package sinks

import "github.com/treatrelay/relay/internal/secret"

// Target is where a sink sends, which whoever knows it can use: it is treated as a secret. One of the two is needed.
type Target struct {
	URL     secret.String `yaml:"url"`
	URLFile string        `yaml:"url_file"` // the path of a file that holds it
}

// ReadURL returns the URL, and the key that has it.
func (t *Target) ReadURL() (text secret.String, key string, err error) {
	if t.URLFile == "" {
		return t.URL, "url", nil
	}
	text, err = readSecretLine("url_file", t.URLFile)
	return text, "url_file", err
}
