package overlay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is the size of the largest file that a page gets.
const maxFile = 16 << 20

// errTooLarge means that a file of an overlay has more than 16 MiB.
var errTooLarge = errors.New("the file has more than 16 MiB; make it smaller")

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

// CheckFiles returns an error that names the files that the settings need and that a page cannot get from the folder dir.
func (s *Settings) CheckFiles(dir string) error {
	var missing []string
	var last error
	for _, name := range s.Files() {
		if _, err := readWithin(dir, name); err != nil {
			missing, last = append(missing, name), err
		}
	}
	if last == nil {
		return nil
	}
	return fmt.Errorf("read %s: %w", strings.Join(missing, ", "), last)
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
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
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
