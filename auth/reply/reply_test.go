package reply

import (
	"strings"
	"testing"
	"time"
)

func TestDecodeReply(t *testing.T) {
	for _, c := range []struct {
		name, body string
		access     string
		refresh    string
		lifetime   time.Duration
	}{
		{"integer", `{"access_token":"a1","refresh_token":"r1","expires_in":3600}`, "a1", "r1", time.Hour},
		{"numeric string", `{"access_token":"a1","refresh_token":"r1","expires_in":"3600"}`, "a1", "r1", time.Hour},
		{"padded string", `{"access_token":"a1","expires_in":" 3600 "}`, "a1", "", time.Hour},
		{"float", `{"access_token":"a1","refresh_token":"r1","expires_in":3600.5}`, "a1", "r1", time.Hour + time.Second/2},
		{"exponent", `{"access_token":"a1","expires_in":3.6e3}`, "a1", "", time.Hour},
		{"empty", `{"access_token":"a1","refresh_token":"r1","expires_in":""}`, "a1", "r1", 0},
		{"null", `{"access_token":"a1","refresh_token":"r1","expires_in":null}`, "a1", "r1", 0},
		{"missing", `{"access_token":"a1","refresh_token":"r1"}`, "a1", "r1", 0},
		{"negative", `{"access_token":"a1","expires_in":-5}`, "a1", "", 0},
		{"zero", `{"access_token":"a1","expires_in":0}`, "a1", "", 0},
		{"milliseconds", `{"access_token":"a1","expires_in":2592000000}`, "a1", "", 0},
		{"absurd", `{"access_token":"a1","expires_in":1e300}`, "a1", "", 0},
		{"overflowing", `{"access_token":"a1","expires_in":1e999}`, "a1", "", 0},
		{"in words", `{"access_token":"a1","expires_in":"an hour"}`, "a1", "", 0},
		{"NaN", `{"access_token":"a1","expires_in":"NaN"}`, "a1", "", 0},
		{"an object", `{"access_token":"a1","expires_in":{"in":1}}`, "a1", "", 0},
		{"trailing garbage", `{"access_token":"a1","refresh_token":"r1","expires_in":60}<!-- served by php -->`, "a1", "r1", time.Minute},
		{"byte order mark", "\xef\xbb\xbf{\"access_token\":\"a1\"}", "a1", "", 0},
		{"leading blanks", "\n\n {\"access_token\":\"a1\"}", "a1", "", 0},
		{"odd neighbours", `{"scope":["a"],"token_type":7,"access_token":"a1","refresh_token":{"x":1}}`, "a1", "", 0},
		{"beside an error code", `{"error_code":0,"message":"ok","access_token":"a1"}`, "a1", "", 0},
		{"a number for a token", `{"access_token":12345678901234567890}`, "12345678901234567890", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Decode([]byte(c.body), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if r.Access.Reveal() != c.access || r.Refresh.Reveal() != c.refresh || r.Lifetime != c.lifetime {
				t.Errorf("got %q %q %s, want %q %q %s", r.Access.Reveal(), r.Refresh.Reveal(), r.Lifetime, c.access, c.refresh, c.lifetime)
			}
		})
	}
	for _, body := range []string{
		``, `null`, `[]`, `"canary"`, `{`, `{"access_token":"canary`, `<html>canary</html>`, `{}`,
		`{"access_token":null,"refresh_token":"canary"}`, `{"access_token":"","refresh_token":"canary"}`, `access_token=canary`,
	} {
		if _, err := Decode([]byte(body), time.Now()); err == nil {
			t.Errorf("%q is taken for a reply", body)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error quotes the body: %v", err)
		}
	}
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"access_token":"a1","refresh_token":"r1","expires_in":3600,"scope":"x"}`))
	f.Add([]byte(`{"error":"invalid_grant","error_description":"no"}`))
	f.Add([]byte(`{"error":{"message":"token expired","code":1e9}}`))
	f.Add([]byte("\xef\xbb\xbf{}garbage"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Decode(body, time.Now())
		if (err == nil) == r.Access.Empty() {
			t.Errorf("error %v with the token %q", err, r.Access.Reveal())
		}
		if r.Lifetime < 0 || r.Lifetime > longestLife {
			t.Errorf("lifetime %s", r.Lifetime)
		}
		c := DecodeError(body, strings.ToLower)
		if strings.ContainsAny(c.Text, "\r\n\x00\x1b") {
			t.Errorf("error reply %q", c.Text)
		}
	})
}
