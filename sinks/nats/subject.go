package nats

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/treatrelay/relay/pipeline"
)

// alertProvider replaces {provider} in the subject of an alert, which comes from relay itself.
const alertProvider = "relay"

// expand replaces the placeholders of a subject. It returns an error for a name that would change the structure of the
// subject.
func expand(subject string, r pipeline.Record) (string, error) {
	if r.Type == pipeline.AlertType {
		r.Provider = alertProvider
	}
	for _, v := range []string{r.Provider, r.Account} {
		if !literal(v) || strings.Contains(v, ".") {
			return "", fmt.Errorf("%q cannot be part of a NATS subject", v)
		}
	}
	return strings.NewReplacer("{provider}", r.Provider, "{account}", r.Account).Replace(subject), nil
}

// subjects expands one subject and caches the results. It is safe for concurrent use.
type subjects struct {
	subject string
	mu      sync.Mutex
	known   map[subjectKey]string
}

type subjectKey struct{ provider, account, typ string }

// maxSubjects bounds the cache. It is far more than the accounts of one relay.
const maxSubjects = 1 << 16

func (s *subjects) of(r *pipeline.Record) (string, error) {
	key := subjectKey{r.Provider, r.Account, r.Type}
	s.mu.Lock()
	defer s.mu.Unlock()
	if subject, ok := s.known[key]; ok {
		return subject, nil
	}
	subject, err := expand(s.subject, *r)
	if err != nil {
		return "", err
	}
	if s.known == nil || len(s.known) >= maxSubjects {
		s.known = map[subjectKey]string{}
	}
	s.known[key] = subject
	return subject, nil
}

// checkSubject checks that a subject is literal after expansion (NATS documentation, "Subject-Based Messaging").
func checkSubject(subject string) error {
	if subject == "" {
		return errors.New("is empty: leave the key out for " + DefaultSubject)
	}
	filled, err := expand(subject, pipeline.Record{Provider: "p", Account: "a"})
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(subject, ".")
	switch {
	case strings.ContainsAny(filled, "{}"):
		return fmt.Errorf("%q has an unknown placeholder: there are {provider} and {account}", subject)
	case !literal(filled):
		return fmt.Errorf("%q is not a subject to publish on: write words with dots between, without *, > and spaces", subject)
	case strings.Contains(first, "{"):
		return fmt.Errorf("%q begins with a placeholder: put a word of its own before it, as in treats.%s", subject, subject)
	case strings.HasPrefix(first, "$") || first == "_INBOX" || first == "relay":
		return fmt.Errorf("%q begins with %s, which others use: begin with another word", subject, first)
	}
	return nil
}

// literal reports whether text is a valid subject without wildcards.
func literal(text string) bool {
	if len(text) > 255 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' || r == '>' }) {
		return false
	}
	for token := range strings.SplitSeq(text, ".") {
		if token == "" {
			return false
		}
	}
	return true
}

func checkStreamName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty: leave the key out for " + DefaultStream)
	case name == "RELAY_JOURNAL":
		return errors.New("RELAY_JOURNAL is relay's own journal: take another name")
	case !literal(name) || strings.ContainsAny(name, `./\`):
		return fmt.Errorf("%q is not the name of a stream: write letters, digits, - and _", name)
	}
	return nil
}

// streamSubject returns the subject that a stream must accept to store every event published to subject.
func streamSubject(subject string) string {
	if subject == DefaultSubject {
		return "treats.>"
	}
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		if strings.Contains(t, "{") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// covers reports whether every subject that matches inner also matches outer.
func covers(outer, inner string) bool {
	o, in := strings.Split(outer, "."), strings.Split(inner, ".")
	for i, t := range o {
		switch {
		case i >= len(in):
			return false
		case t == ">":
			return true
		case in[i] == ">", t != "*" && t != in[i]:
			return false
		}
	}
	return len(o) == len(in)
}

// Overlaps reports whether both sinks may publish to the same subject. No two streams of a server can accept the same
// subject.
func (c *Config) Overlaps(other *Config) bool {
	a, b := strings.Split(streamSubject(c.Subject), "."), strings.Split(streamSubject(other.Subject), ".")
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == ">" || b[i] == ">":
			return true
		case a[i] != "*" && b[i] != "*" && a[i] != b[i]:
			return false
		}
	}
	return len(a) == len(b)
}
