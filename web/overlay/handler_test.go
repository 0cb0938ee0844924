package overlay_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/overlay"
)

// newServer serves the handler over real sockets, without a browser.
func newServer(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t, t.TempDir())
	w.run(func(s *overlay.Settings) { s.Accounts = []string{"a"} })
	server := httptest.NewServer(overlay.Handler(w.stages))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		w.stop()
		if err := w.stack.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, server.URL + "/api/v1/overlays/"
}

func ask(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return response, string(text)
}

func TestProblems(t *testing.T) {
	w, base := newServer(t)
	dir := filepath.Join(w.config.Files, name)
	must(t, os.MkdirAll(filepath.Join(dir, "folder.png"), 0o700))
	must(t, os.WriteFile(filepath.Join(w.config.Files, "secret.png"), []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, ".hidden.png"), []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "relay.yaml"), []byte("secret"), 0o600))
	must(t, os.Symlink(filepath.Join(w.config.Files, "secret.png"), filepath.Join(dir, "link.png")))
	for _, c := range []struct {
		method, path, body string
		status             int
		problem            string
	}{
		{"GET", "other/stage?page=p", "", 404, "unknown-overlay"},
		{"GET", "other/files/x.png", "", 404, "unknown-overlay"},
		{"POST", "other/shown", "{}", 404, "unknown-overlay"},
		{"GET", "main/stage", "", 400, "usage"},
		{"GET", "main/stage?page=" + strings.Repeat("x", 65), "", 400, "usage"},
		{"GET", "main/stage?page=p&widget=clock", "", 400, "usage"},
		{"GET", "main/stage?page=p&account=b", "", 403, "other-accounts"},
		{"POST", "main/shown", "no", 400, "usage"},
		{"POST", "main/shown", `{"page":"p","more":1}`, 400, "usage"},
		{"POST", "main/shown", `{"page":"` + strings.Repeat("x", 70_000) + `"}`, 400, "usage"},
		{"POST", "main/shown", `{"page":"p","state":"started"}`, 409, "not-showing"},
		{"GET", "main/files/missing.png", "", 404, "unknown-file"},
		{"GET", "main/files/..%2Fsecret.png", "", 404, "unknown-file"},
		{"GET", "main/files/.hidden.png", "", 404, "unknown-file"},
		{"GET", "main/files/relay.yaml", "", 404, "unknown-file"},
		{"GET", "main/files/folder.png", "", 404, "unknown-file"},
		{"GET", "main/files/link.png", "", 404, "unknown-file"},
	} {
		response, text := ask(t, c.method, base+c.path, c.body)
		var p struct {
			Type, Title, Detail string
			Status              int
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s %s: %v in %s", c.method, c.path, err, text)
		}
		if response.StatusCode != c.status || p.Status != c.status || p.Type != "urn:relay:problem:"+c.problem || p.Title == "" || p.Detail == "" {
			t.Errorf("%s %s: %d %s", c.method, c.path, response.StatusCode, text)
		}
		if strings.Contains(text, w.config.Files) || strings.Contains(text, `"secret"`) {
			t.Errorf("%s %s reveals a path: %s", c.method, c.path, text)
		}
	}
}

func TestFilesAreServedAsData(t *testing.T) {
	w, base := newServer(t)
	dir := filepath.Join(w.config.Files, name)
	must(t, os.MkdirAll(dir, 0o700))
	for file, want := range map[string]string{"a.png": "image/png", "custom.html": "text/plain; charset=utf-8", "x.svg": "image/svg+xml", "ding.MP3": "audio/mpeg"} {
		must(t, os.WriteFile(filepath.Join(dir, file), []byte("<script>"), 0o600))
		response, text := ask(t, "GET", base+"main/files/"+file, "")
		h := response.Header
		if text != "<script>" || h.Get("Content-Type") != want || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %v", file, h)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "big.png"), make([]byte, 16<<20+1), 0o600))
	if response, text := ask(t, "GET", base+"main/files/big.png", ""); response.StatusCode != http.StatusInternalServerError || !strings.Contains(text, "16 MiB") {
		t.Errorf("a large file: %d %.200s", response.StatusCode, text)
	}
}

// A stream begins at once, and a reload of the page with the same id takes the place of the old stream.
func TestStream(t *testing.T) {
	_, base := newServer(t)
	open := func() *bufio.Scanner {
		request, err := http.NewRequestWithContext(t.Context(), "GET", base+"main/stage?page=p&account=a", nil)
		must(t, err)
		response, err := http.DefaultClient.Do(request)
		must(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("content type %q", got)
		}
		return bufio.NewScanner(response.Body)
	}
	first := open()
	for _, want := range []string{": relay", "", "event: settings"} {
		if !first.Scan() || first.Text() != want {
			t.Fatalf("line %q, want %q", first.Text(), want)
		}
	}
	second := open()
	for first.Scan() {
		continue // until relay ends it
	}
	if !second.Scan() {
		t.Error("the second stream has ended")
	}
}

// Each file that the settings need and a page cannot use has its own reason, without the words of the system.
func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "big.png"), make([]byte, 16<<20+1), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "text.png"), []byte("not a picture"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "page.gif"), []byte("<!doctype html><p>no picture"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "empty.png"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "good.png"), []byte("\x89PNG\r\n\x1a\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "good.svg"), []byte("<svg/>"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "ding.mp3"), []byte{0xff, 0xfb, 0x90, 0}, 0o600))
	must(t, os.Symlink("/etc/hostname", filepath.Join(dir, "link.png")))
	must(t, os.Mkdir(filepath.Join(dir, "folder.png"), 0o700))
	s := settings(t, func(s *overlay.Settings) {
		s.Sound, s.Pictures = "ding.mp3", map[string]string{}
		for _, file := range []string{"big.png", "text.png", "page.gif", "empty.png", "good.png", "good.svg", "link.png", "folder.png", "missing.png"} {
			s.Pictures[strings.ReplaceAll(file, ".", "")] = file
		}
	})
	const text, other = "the file is a text, neither a picture nor a sound; save it in the format that its name says", "it is not a file of the overlay's folder, but a link out of it or a folder"
	want := "read " + strings.Join([]string{
		"big.png: the file has more than 16 MiB; make it smaller", "empty.png: " + text, "folder.png: " + other, "link.png: " + other,
		"missing.png: there is no such file", "page.gif: " + text, "text.png: " + text,
	}, "; ")
	if err := s.CheckFiles(dir); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}
