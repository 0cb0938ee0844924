package auth

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
			r, err := decodeReply([]byte(c.body), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if r.access.Reveal() != c.access || r.refresh.Reveal() != c.refresh || r.lifetime != c.lifetime {
				t.Errorf("got %q %q %s, want %q %q %s", r.access.Reveal(), r.refresh.Reveal(), r.lifetime, c.access, c.refresh, c.lifetime)
			}
		})
	}
	for _, body := range []string{
		``, `null`, `[]`, `"canary"`, `{`, `{"access_token":"canary`, `<html>canary</html>`, `{}`,
		`{"access_token":null,"refresh_token":"canary"}`, `{"access_token":"","refresh_token":"canary"}`, `access_token=canary`,
	} {
		if _, err := decodeReply([]byte(body), time.Now()); err == nil {
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
		r, err := decodeReply(body, time.Now())
		if (err == nil) == r.access.Empty() {
			t.Errorf("error %v with the token %q", err, r.access.Reveal())
		}
		if r.lifetime < 0 || r.lifetime > longestLife {
			t.Errorf("lifetime %s", r.lifetime)
		}
		c := decodeComplaint(body, strings.ToLower)
		if strings.ContainsAny(c.text, "\r\n\x00\x1b") {
			t.Errorf("complaint %q", c.text)
		}
	})
}

func FuzzParsePasted(f *testing.F) {
	f.Add("http://localhost:8919/?code=abc&state=def")
	f.Add("?code=abc&state=def#frag")
	f.Add(`"code=abc&state=def"`)
	f.Add("%zz")
	f.Fuzz(func(t *testing.T, text string) {
		query, problem := parsePasted(text)
		if (problem == "") != (query != nil) {
			t.Errorf("query %v with the problem %q", query, problem)
		}
		if problem == "" && !query.Has("state") && !query.Has("code") && !query.Has("error") {
			t.Error("nothing of a login's reply")
		}
	})
}

func TestParsePasted(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:8919/back?code=c%2B1&state=s1": "c+1",
		"http://localhost:8919/back?state=s1&code=c1#x":  "c1",
		"  'http://localhost/?code=c1&state=s1'  ":       "c1",
		"<http://localhost/?code=c1&state=s1>":           "c1",
		"?code=c1&state=s1":                              "c1",
		"code=c1&state=s1":                               "c1",
		// Raw, as providers send what they do not escape.
		"http://localhost/?code=a+b&state=s1":        "a+b",
		"http://localhost/?code=a;b&state=s1":        "a;b",
		"http://localhost/?code=a;b;c=d&state=s1":    "a;b;c=d",
		"http://localhost/?code=a%b&state=s1":        "a%b",
		"http://localhost/?code=100%&state=s1":       "100%",
		"http://localhost/?code=%&state=s1":          "%",
		"http://localhost/?code=a%zzb&state=s1":      "a%zzb",
		"http://localhost/?code=a/b=&state=s1":       "a/b=",
		"http://localhost/?code=4%2F0A%2Bx&state=s1": "4/0A+x",
		"http://localhost/?&&code=c1&&state=s1&":     "c1",
	} {
		query, problem := parsePasted(text)
		if problem != "" || query.Get("code") != want || query.Get("state") != "s1" {
			t.Errorf("%q: %v, %q", text, query, problem)
		}
	}
	for _, text := range []string{"canary", "http://localhost:8919/", "http://localhost:8919/?canary", "?a;b&canary;x", "%zz"} {
		if query, problem := parsePasted(text); problem == "" || strings.Contains(problem, "canary") {
			t.Errorf("%q: %v, %q", text, query, problem)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "99999999999": 24 * time.Hour, "soon": 0, "1.5": 1500 * time.Millisecond, "120.0": 2 * time.Minute,
		"99999999999999999999999": 24 * time.Hour, "1e999": 24 * time.Hour, "NaN": 0,
		"Thu, 16 Jul 2026 21:01:00 GMT": time.Minute, "Thu, 16 Jul 2026 20:01:00 GMT": 0, "Thu, 16 Jul 2036 20:01:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", header, got, want)
		}
	}
}
