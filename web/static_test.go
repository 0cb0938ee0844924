package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/session"
	"github.com/treatrelay/relay/web/webtest"
)

func TestPages(t *testing.T) {
	s := serve(t, config(t))
	for path, want := range map[string]string{
		"/": "dashboard", "/?x=1": "dashboard", "/overlay/main": "overlay", "/overlay/any%20name": "overlay", "/overlay/main?theme=night": "overlay",
	} {
		got := s.do(http.MethodGet, path, "")
		if got.StatusCode != http.StatusOK || !strings.Contains(got.body, want) || got.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("GET %s: status %d, type %q: %s", path, got.StatusCode, got.Header.Get("Content-Type"), got.body)
		}
		head := s.do(http.MethodHead, path, "")
		if head.StatusCode != http.StatusOK || head.body != "" || head.Header.Get("Etag") != got.Header.Get("Etag") {
			t.Errorf("HEAD %s: status %d, headers %v", path, head.StatusCode, head.Header)
		}
		if post := s.do(http.MethodPost, path, ""); post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: status %d, Allow %q", path, post.StatusCode, post.Header.Get("Allow"))
		}
	}
	if a, b := s.do(http.MethodGet, "/overlay/main", ""), s.do(http.MethodGet, "/overlay/other", ""); a.body != b.body || a.Header.Get("Etag") != b.Header.Get("Etag") {
		t.Error("the page of an overlay depends on its name")
	}
}

func TestFilesOfPages(t *testing.T) {
	s := serve(t, config(t))
	const script = "/assets/dashboard/app.js"
	got := s.do(http.MethodGet, script, "")
	tag := got.Header.Get("Etag")
	if got.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || got.Header.Get("Cache-Control") != "no-cache" || tag == "" ||
		got.Header.Get("Content-Encoding") != "" || got.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers %v", got.Header)
	}
	if again := s.do(http.MethodGet, script, "", header("If-None-Match", tag)); again.StatusCode != http.StatusNotModified || again.body != "" {
		t.Errorf("with its tag: status %d", again.StatusCode)
	}
	small := s.do(http.MethodGet, script, "", header("Accept-Encoding", "br;q=1.0, gzip;q=0.8, *;q=0.1"))
	if small.Header.Get("Content-Encoding") != "gzip" || len(small.body) >= len(got.body) || small.Header.Get("Etag") == tag {
		t.Fatalf("compressed: %d bytes, headers %v", len(small.body), small.Header)
	}
	z, err := gzip.NewReader(strings.NewReader(small.body))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != got.body {
		t.Errorf("it decompresses to %d bytes (%v)", len(text), err)
	}
	again := s.do(http.MethodGet, script, "", header("Accept-Encoding", "gzip"), header("If-None-Match", small.Header.Get("Etag")))
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("compressed with its tag: status %d", again.StatusCode)
	}
	sound := s.do(http.MethodGet, "/assets/overlay/chime.wav", "", header("Range", "bytes=4-7"), header("Accept-Encoding", "gzip"))
	if sound.StatusCode != http.StatusPartialContent || sound.body != "RIFF" || sound.Header.Get("Content-Type") != "audio/wav" {
		t.Errorf("a part of a sound: status %d, %q, headers %v", sound.StatusCode, sound.body, sound.Header)
	}
	for _, refused := range []string{"identity", "gzip;q=0", "gzip; q=0.000", "", "deflate", "xgzip"} {
		if acceptsGzip(refused) {
			t.Errorf("Accept-Encoding %q accepts gzip", refused)
		}
	}
}

// Pages name their files with a version, under which a browser keeps them and does not ask again.
func TestFilesWithVersions(t *testing.T) {
	cfg := config(t)
	cfg.Assets = Assets()
	s := serve(t, cfg)
	version := ""
	for _, path := range []string{"/", "/overlay/main"} {
		page := s.do(http.MethodGet, path, "")
		if page.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s has Cache-Control %q", path, page.Header.Get("Cache-Control"))
		}
		files := regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
		if len(files) < 5 {
			t.Fatalf("%s names %d files", path, len(files))
		}
		for _, file := range files {
			name := strings.TrimPrefix(file[1], "..")
			got := s.do(http.MethodGet, name, "")
			if got.StatusCode != http.StatusOK || got.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
				t.Errorf("%s: status %d, Cache-Control %q", file[1], got.StatusCode, got.Header.Get("Cache-Control"))
			}
			version = strings.Split(name, "/")[2]
		}
	}
	for path, status := range map[string]int{
		"/assets/dashboard/app.js": http.StatusOK, "/assets/@older/dashboard/app.js": http.StatusOK, // a page of the relay before an update
		"/assets/" + version + "/dashboard/missing.js": http.StatusNotFound, "/assets/" + version: http.StatusNotFound, "/assets/@older/": http.StatusNotFound,
		"/assets/" + version + "/" + version + "/dashboard/app.js": http.StatusNotFound,
	} {
		if got := s.do(http.MethodGet, path, ""); got.StatusCode != status || strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("GET %s: status %d, Cache-Control %q", path, got.StatusCode, got.Header.Get("Cache-Control"))
		}
	}
	if other := serve(t, config(t)).do(http.MethodGet, "/assets/"+version+"/dashboard/app.js", ""); strings.Contains(other.Header.Get("Cache-Control"), "immutable") {
		t.Error("other files have the same version")
	}
}

func TestFilesThatAreNotServed(t *testing.T) {
	s := serve(t, config(t))
	for _, path := range []string{
		"/assets/", "/assets/dashboard", "/assets/dashboard/", "/assets/vendor/LICENSE", "/assets/overlay/sound.py", "/assets/../web.go", "/assets/%2e%2e/web.go",
		"/index.html", "/dashboard/index.html", "/favicon.ico", "/overlay/", "/overlay/a/b", "/overlay", "/x",
	} {
		if got := s.do(http.MethodGet, path, ""); got.StatusCode != http.StatusNotFound && got.StatusCode != http.StatusBadRequest {
			t.Errorf("GET %s: status %d", path, got.StatusCode)
		}
	}
}

func TestErrorsForPeople(t *testing.T) {
	s := serve(t, config(t))
	browser := header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	got := s.do(http.MethodGet, "/x", "", browser)
	if got.StatusCode != http.StatusNotFound || got.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(got.body, "<h1>Not Found</h1>") {
		t.Errorf("status %d, headers %v: %s", got.StatusCode, got.Header, got.body)
	}
	got = s.do(http.MethodGet, "/", "", browser, header("Host", `<b>evil</b>`))
	if got.StatusCode != http.StatusMisdirectedRequest && got.StatusCode != http.StatusBadRequest || strings.Contains(got.body, "<b>") {
		t.Errorf("a host with markup: status %d: %s", got.StatusCode, got.body)
	}
	if p := s.do(http.MethodGet, "/api/v1/status", "", browser).problem(t); p.Type != "urn:relay:problem:not-logged-in" {
		t.Errorf("the API answers with %+v", p)
	}
}

// A page of an overlay may be on air, and shows no error.
func TestErrorsOnAir(t *testing.T) {
	s := serve(t, config(t))
	for _, got := range []reply{
		s.do(http.MethodGet, "/overlay/", "", header("Accept", "text/html")),
		s.do(http.MethodGet, "/overlay/a/b", "", header("Accept", "text/html")),
		s.do(http.MethodGet, "/overlay/main", "", header("Accept", "text/html"), header("Host", "evil.example")),
		s.do(http.MethodGet, "/overlay/a%2fb", "", header("Accept", "text/html")),
	} {
		if got.StatusCode < 400 || got.body != blankPage || got.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("GET %s: status %d, type %q: %q", got.Request.URL, got.StatusCode, got.Header.Get("Content-Type"), got.body)
		}
	}
}

// An address with a slash at its end opens the same page.
func TestOverlayWithSlash(t *testing.T) {
	s := serve(t, config(t))
	for path, want := range map[string]string{
		"/overlay/main/": "../main", "/overlay/main/?theme=night&volume=0": "../main?theme=night&volume=0", "/overlay/any%20name/": "../any%20name",
	} {
		got := s.do(http.MethodGet, path, "")
		if got.StatusCode != http.StatusPermanentRedirect || got.Header.Get("Location") != want {
			t.Errorf("GET %s: status %d, Location %q", path, got.StatusCode, got.Header.Get("Location"))
		}
	}
}

// A browser draws nothing if the address of an overlay is wrong: neither the address, which has the key in it, nor what is wrong.
func TestWrongAddressOnAir(t *testing.T) {
	browser := webtest.Start(t)
	s := serve(t, config(t))
	other := strings.Replace(s.url, "127.0.0.1", "stream.localhost", 1) // which is this computer, but no host of the configuration
	for address, want := range map[string]string{
		s.url + "/overlay/main/": "/overlay/main", s.url + "/overlay/a/b": "/overlay/a/b", s.url + "/overlay//main": "/overlay//main",
		s.url + "/overlay/main%2f": "/overlay/main%2f", other + "/overlay/main": "/overlay/main",
	} {
		tab := browser.Open(address+"#rok_secret", webtest.Options{})
		tab.WaitFor(`document.readyState === 'complete'`)
		if got := tab.Text(`location.pathname + location.hash`); got != want+"#rok_secret" {
			t.Errorf("%s leads to %s", address, got)
		}
		if text := tab.Text(`document.body.innerText.trim()`); text != "" && address != s.url+"/overlay/main/" {
			t.Errorf("%s shows %q", address, text)
		}
		tab.Close()
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := serve(t, config(t))
	owner := s.as(session.Owner)
	for path, frames := range map[string]string{
		"/": "'none'", "/overlay/main": "'self'", "/assets/dashboard/app.js": "'none'", "/api/v1/status": "'none'", "/session": "'none'", "/missing": "'none'", "/overlay/": "'none'",
	} {
		for _, as := range []who{owner, nobody} {
			got := s.do(http.MethodGet, path, "", as)
			policy := got.Header.Get("Content-Security-Policy")
			directives := make(map[string]string)
			for one := range strings.SplitSeq(policy, "; ") {
				name, value, _ := strings.Cut(one, " ")
				directives[name] = value
			}
			if directives["default-src"] != "'none'" || directives["base-uri"] != "'none'" || directives["form-action"] != "'none'" ||
				directives["frame-ancestors"] != frames || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "data:") {
				t.Errorf("GET %s: policy %q", path, policy)
			}
			if scripts, ok := directives["script-src"]; ok && scripts != "'self'" {
				t.Errorf("GET %s: scripts from %q", path, scripts)
			}
			if preview := directives["frame-src"] == "'self'"; path == "/" && !preview || path == "/overlay/main" && preview {
				t.Errorf("GET %s: frames from %q", path, directives["frame-src"])
			}
			for name, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			} {
				if got.Header.Get(name) != value {
					t.Errorf("GET %s: %s %q, want %q", path, name, got.Header.Get(name), value)
				}
			}
		}
	}
	if got := s.do(http.MethodGet, "/api/v1/status", "", owner); got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an answer of the API has Cache-Control %q", got.Header.Get("Cache-Control"))
	}
}

// The embedded pages need no inline script or style, which their policy forbids, and nothing of other sites.
func TestEmbeddedPagesFollowTheirPolicy(t *testing.T) {
	s, err := newStatic(Assets())
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range s.files {
		if !strings.HasSuffix(name, ".html") {
			continue
		}
		text := bytes.ToLower(f.body)
		for _, forbidden := range []string{"<style", " style=", " onclick=", " onload=", "javascript:", "src=\"http", "href=\"http", "<base"} {
			if bytes.Contains(text, []byte(forbidden)) {
				t.Errorf("%s contains %q", name, forbidden)
			}
		}
		for rest := range strings.SplitSeq(string(text), "<script") {
			if tag, _, _ := strings.Cut(rest, ">"); !strings.HasPrefix(rest, "<!doctype") && !strings.Contains(tag, "src=") {
				t.Errorf("%s has an inline script: <script%.80s", name, rest)
			}
		}
	}
}
