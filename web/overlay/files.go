package overlay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is the size of the largest file that a page gets.
const maxFile = 16 << 20

var (
	// errTooLarge means that a file of an overlay has more than 16 MiB.
	errTooLarge = errors.New("the file has more than 16 MiB; make it smaller")
	// errNoFile means that a name in an overlay's folder is that of something else than a file in it.
	errNoFile = fmt.Errorf("it is not a file of the overlay's folder, but a link out of it or a folder: %w", fs.ErrNotExist)
	// errText means that a file is not of the kind that its name says.
	errText = errors.New("the file is a text, neither a picture nor a sound; save it in the format that its name says")
)

// media is what a file is, by its name.
type media struct {
	contentType    string
	picture, sound bool
}

// mediaType returns what a file of an overlay is. Without a content type it is not served. A template is plain text for
// a browser: only the overlay page makes something of it.
func mediaType(name string) media {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png":
		return media{contentType: "image/png", picture: true}
	case ".jpg", ".jpeg":
		return media{contentType: "image/jpeg", picture: true}
	case ".gif":
		return media{contentType: "image/gif", picture: true}
	case ".webp":
		return media{contentType: "image/webp", picture: true}
	case ".avif":
		return media{contentType: "image/avif", picture: true}
	case ".svg":
		return media{contentType: "image/svg+xml", picture: true}
	case ".wav":
		return media{contentType: "audio/wav", sound: true}
	case ".mp3":
		return media{contentType: "audio/mpeg", sound: true}
	case ".ogg":
		return media{contentType: "audio/ogg", sound: true}
	case ".m4a":
		return media{contentType: "audio/mp4", sound: true}
	case ".woff2":
		return media{contentType: "font/woff2"}
	case ".html", ".css":
		return media{contentType: "text/plain; charset=utf-8"}
	}
	return media{}
}

// File reads a file of the overlay's folder. If there is none, the error is [fs.ErrNotExist].
func (s *Stage) File(name string) (data []byte, contentType string, err error) {
	kind := mediaType(name)
	if s.config.Files == "" || !isFile(name) || kind.contentType == "" {
		return nil, "", fmt.Errorf("file %.70q of overlay %s: %w", name, s.name, fs.ErrNotExist)
	}
	data, err = readWithin(filepath.Join(s.config.Files, s.name), name)
	if err != nil {
		return nil, "", fmt.Errorf("file %s of overlay %s: %w", name, s.name, err)
	}
	return data, kind.contentType, nil
}

// Files returns the names of the files that the settings need, sorted.
func (s *Settings) Files() []string {
	names := slices.Collect(maps.Values(s.Pictures))
	if sound := s.soundFile(); sound != "" {
		names = append(names, sound)
	}
	if s.Theme == ThemeCustom {
		names = append(names, "custom.html")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// CheckFiles returns an error that says of each file that the settings need why a page cannot use it, if it is in the folder dir at all.
func (s *Settings) CheckFiles(dir string) error {
	var wrong []string
	for _, name := range s.Files() {
		data, err := readWithin(dir, name)
		if err == nil && !fits(name, data) {
			err = errText
		}
		if err != nil {
			wrong = append(wrong, name+": "+reason(err))
		}
	}
	if wrong == nil {
		return nil
	}
	return errors.New("read " + strings.Join(wrong, "; "))
}

// reason says without the words of the system why a file cannot be used.
func reason(err error) string {
	switch {
	case errors.Is(err, errNoFile), errors.Is(err, errTooLarge), errors.Is(err, errText):
		return strings.TrimSuffix(err.Error(), ": "+fs.ErrNotExist.Error())
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "relay may not read it"
	}
	return err.Error()
}

// fits reports whether a file may be what its name says. A browser finds out the rest.
func fits(name string, data []byte) bool {
	kind := mediaType(name)
	if !kind.picture && !kind.sound || kind.contentType == "image/svg+xml" {
		return true
	}
	return len(data) > 0 && !strings.HasPrefix(http.DetectContentType(data), "text/")
}

// readWithin reads a regular file of a folder. No link leads out of it.
func readWithin(dir, name string) (data []byte, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	info, err := root.Stat(name) // before it is opened: a pipe would wait for a writer
	if err != nil {
		if _, there := root.Lstat(name); there == nil && !errors.Is(err, fs.ErrPermission) {
			return nil, errNoFile // a link that leads out of the folder, or nowhere
		}
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(data) > maxFile {
		return nil, errTooLarge
	}
	return data, err
}
