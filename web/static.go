package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// static serves the files of the pages from memory. Pages name their files below /assets/@VERSION/, where VERSION changes with the content of any
// file. A browser keeps those for ever, and asks for none of them when it opens a page again.
type static struct {
	files   map[string]*file
	version string
}

type file struct {
	kind        string
	body, small []byte // small is the body compressed with gzip; nil: that gains nothing
	tag         string // identifies the content
}

// kinds are the types of the files that are served, by the end of their names. Others, such as licences and generators, are not served.
func kinds() map[string]string {
	return map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp",
		".ico": "image/x-icon", ".woff2": "font/woff2", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg",
	}
}

// newStatic reads all files that are to be served.
func newStatic(assets fs.FS) (*static, error) {
	s, types := &static{files: make(map[string]*file)}, kinds()
	bodies, content := make(map[string][]byte), sha256.New()
	err := fs.WalkDir(assets, ".", func(name string, d fs.DirEntry, err error) error {
		_, ok := types[path.Ext(name)]
		if err != nil || d.IsDir() || !ok {
			return err
		}
		body, err := fs.ReadFile(assets, name)
		if err != nil {
			return err
		}
		bodies[name] = body
		content.Write(fmt.Appendf(nil, "%s %d\n%s", name, len(body), body))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of the pages: %w", err)
	}
	s.version = "@" + base64.RawURLEncoding.EncodeToString(content.Sum(nil)[:12])
	for name, body := range bodies {
		kind := types[path.Ext(name)]
		if path.Ext(name) == ".html" {
			body = bytes.ReplaceAll(body, []byte(`/assets/`), []byte(`/assets/`+s.version+`/`))
		}
		if s.files[name], err = newFile(kind, body); err != nil {
			return nil, fmt.Errorf("compress the file %s of the pages: %w", name, err)
		}
	}
	return s, nil
}

func newFile(kind string, body []byte) (*file, error) {
	sum := sha256.Sum256(body)
	f := &file{kind: kind, body: body, tag: base64.RawURLEncoding.EncodeToString(sum[:12])}
	if !strings.HasPrefix(kind, "text/") && kind != "application/json" && kind != "image/svg+xml" {
		return f, nil
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if small.Len() < len(body) {
		f.small = small.Bytes()
	}
	return f, nil
}

// serve serves the pages and their files. Every overlay has the same page: its script finds the name in the address, and the key in the fragment,
// which browsers do not send.
func (s *static) serve(w http.ResponseWriter, r *http.Request) {
	name, overlay, forever := "", false, false
	if r.URL.Path == "/" {
		name = "dashboard/index.html"
	} else if rest, ok := strings.CutPrefix(r.URL.Path, "/assets/"); ok {
		name = rest
		if version, versioned, ok := strings.Cut(rest, "/"); ok && strings.HasPrefix(version, "@") { // of another relay: it gets the file of this one
			name, forever = versioned, version == s.version
		}
	} else if rest, ok := strings.CutPrefix(r.URL.Path, "/overlay/"); ok && rest != "" && !strings.Contains(rest, "/") {
		name, overlay = "overlay/index.html", true
	} else if one, ok := strings.CutSuffix(rest, "/"); ok && one != "" && !strings.Contains(one, "/") {
		withoutSlash(w, r)
		return
	}
	f := s.files[name]
	switch {
	case f == nil:
		notFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		wrongMethod(w, r, http.MethodGet, http.MethodHead)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // a transport without deadlines is in this process
	allowPage(w.Header(), overlay)
	w.Header().Set("Cache-Control", "no-cache") // to be asked for each time, so that a new relay is never shown with old scripts
	if forever {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	f.serve(w, r)
}

// withoutSlash redirects to the page of an overlay. The browser keeps the fragment, which is the key.
func withoutSlash(w http.ResponseWriter, r *http.Request) {
	u := url.URL{Path: "../" + path.Base(r.URL.Path), RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusPermanentRedirect)
}

// serve sends a file, or reports that the one that the browser has is the same.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	body, tag := f.body, f.tag
	if f.small != nil {
		h.Set("Vary", "Accept-Encoding")
		if r.Header.Get("Range") == "" && acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body, tag = f.small, tag+".gz"
		}
	}
	h.Set("Etag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func acceptsGzip(header string) bool {
	for one := range strings.SplitSeq(header, ",") {
		coding, quality, _ := strings.Cut(strings.ReplaceAll(one, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") {
			return strings.Trim(strings.TrimPrefix(strings.ToLower(quality), "q="), "0.") != "" || quality == ""
		}
	}
	return false
}
