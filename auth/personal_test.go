package auth

import (
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

func FuzzPersonal(f *testing.F) {
	f.Add("eyJ0eXAiOiJKV1QifQ.eyJleHAiOjE1NjIxODIzMjksImlhdCI6MTUzMDY0NjMyOX0.c2ln")
	f.Add(" Bearer opaque\n")
	f.Add("a.%.b")
	f.Add("a.eyJleHAiOjFlOTl9.b")
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	f.Fuzz(func(t *testing.T, text string) {
		token, err := readPersonal(secret.New(text))
		if (err == nil) == token.Empty() {
			t.Errorf("error %v with the token %q", err, token.Reveal())
		}
		if err != nil || stillGood(token, now) != nil {
			return
		}
		issued, expiry := lifeOf(token, now, year)
		if issued.After(now) || now.Sub(issued) > year || !expiry.After(now) || expiry.Sub(now) > year {
			t.Errorf("from %s to %s", issued, expiry)
		}
	})
}
