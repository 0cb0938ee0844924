package journalfiles

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The two files that this package keeps in the journal's folder. Both are one line of JSON and one of its SHA-256.
const (
	// sealFile describes everything as it was when relay stopped. It is gone while relay runs.
	sealFile = "seal"
	// copiesFile has copies of what the streams and cursors are, also while relay runs.
	copiesFile = "copies"
)

// copyLimit is up to which size the seal holds a copy of a file.
const copyLimit = 1 << 20

// A manifest is the content of either file.
type manifest struct {
	Version int                   `json:"version"`
	Files   map[string]sealed     `json:"files"`             // by path below the journal's folder, with slashes
	Streams map[string]streamEnds `json:"streams,omitempty"` // by the path of the stream's folder
}

type sealed struct {
	Size int64  `json:"size"`
	Copy []byte `json:"copy,omitempty"` // of all but message blocks, and what the server makes anew
}

// streamEnds are the first and the last number of a stream.
type streamEnds struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

const manifestVersion = 1

func (m *manifest) encode() ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(line)
	return append(hex.AppendEncode(append(line, '\n'), sum[:]), '\n'), nil
}

// readManifest returns nil if there is none, and an error if it is damaged.
func readManifest(path string) (*manifest, error) {
	content, err := read(path)
	if content == nil || err != nil {
		return nil, err
	}
	line, rest, _ := bytes.Cut(content, []byte("\n"))
	sum := sha256.Sum256(line)
	m := &manifest{}
	if string(rest) != hex.EncodeToString(sum[:])+"\n" || json.Unmarshal(line, m) != nil || m.Version != manifestVersion {
		return nil, errDamaged
	}
	return m, nil
}

var errDamaged = errors.New("damaged")

// Seal notes how the files are, after the server that writes them has stopped. [Check] compares them with that.
func Seal(dir string) error {
	m := &manifest{Version: manifestVersion, Files: make(map[string]sealed), Streams: make(map[string]streamEnds)}
	err := filepath.WalkDir(filepath.Join(dir, storeFolder), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name()[0] == '.' || d.Name() == batchesFolder) { // what the server removes at its start
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || strings.HasSuffix(path, ".tmp") {
			return nil
		}
		return m.add(dir, path, d)
	})
	if err == nil {
		var content []byte
		if content, err = m.encode(); err == nil {
			err = replace(filepath.Join(dir, sealFile), content)
		}
	}
	if err == nil {
		err = stamp(dir)
	}
	if err != nil {
		_ = remove(filepath.Join(dir, sealFile))
		return fmt.Errorf("seal the journal in %s: %w", dir, err)
	}
	return nil
}

func (m *manifest) add(dir, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	file := sealed{Size: info.Size()}
	switch {
	case d.Name() == indexFile:
		if ends, ok := readIndex(path); ok {
			m.Streams[strings.TrimSuffix(rel, "/"+messagesFolder+"/"+indexFile)] = ends
		}
		return nil
	case strings.HasSuffix(rel, blockSuffix):
	case info.Size() <= copyLimit:
		if file.Copy, err = read(path); err != nil {
			return err
		}
		file.Size = int64(len(file.Copy))
	}
	m.Files[rel] = file
	return nil
}

// readIndex reads the first and last number of a stream from the server's index, and reports whether its checksum is right.
func readIndex(path string) (streamEnds, bool) {
	content, err := read(path)
	if err != nil || len(content) < 32 {
		return streamEnds{}, false
	}
	// STREAM/msgs/index.db
	hash, err := newHash(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return streamEnds{}, false
	}
	body, sum := content[:len(content)-sumLen], content[len(content)-sumLen:]
	_, _ = hash.Write(body) // it never fails
	if !bytes.Equal(hash.Sum(nil), sum) {
		return streamEnds{}, false
	}
	r := varints{rest: body[2:]} // messages, bytes, first, its time, last
	r.next()
	r.next()
	first := r.next()
	_, n := binary.Varint(r.rest)
	if r.bad || n <= 0 {
		return streamEnds{}, false
	}
	r.rest = r.rest[n:]
	last := r.next()
	return streamEnds{First: first, Last: last}, !r.bad
}

// stamp gives the seal the time of the folder's last change: each start of a server changes the folder, also one by a relay that
// knows no seals, so a seal that is older than the folder says nothing any more.
func stamp(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chtimes(filepath.Join(dir, sealFile), time.Time{}, info.ModTime())
}

// fresh reports whether nobody has changed the folder since it was sealed. File systems count time in steps of up to two
// seconds.
func fresh(dir string) bool {
	folder, err1 := os.Stat(dir)
	seal, err2 := os.Stat(filepath.Join(dir, sealFile))
	return err1 == nil && err2 == nil && folder.ModTime().Sub(seal.ModTime()) <= 2*time.Second
}

// Copy keeps copies of what says what the streams and consumers are, if they have changed, so that [Check] can restore these
// after a crash too, and of the cursors, behind which no cursor may fall back. It may run while the server does.
func Copy(dir string) error {
	m := &manifest{Version: manifestVersion, Files: make(map[string]sealed)}
	path := filepath.Join(dir, copiesFile)
	old, err := readManifest(path)
	if old == nil || errors.Is(err, errDamaged) { // it is written anew
		old, err = &manifest{}, nil
	}
	var streams []*stream
	if err == nil {
		streams, err = listStreams(dir)
	}
	if err != nil {
		return fmt.Errorf("copy the journal's settings in %s: %w", dir, err)
	}
	for _, s := range streams {
		m.addMeta(dir, s.rel, s.name, old)
		for _, name := range s.consumers {
			rel := s.rel + "/" + cursorsFolder + "/" + name
			if m.addMeta(dir, rel, s.name+"/"+name, old) {
				if at, err := read(filepath.Join(dir, filepath.FromSlash(rel), cursorFile)); err == nil && at != nil {
					m.Files[rel+"/"+cursorFile] = sealed{Size: int64(len(at)), Copy: at}
				}
			}
		}
	}
	content, err := m.encode()
	if err == nil {
		var before []byte
		if before, err = read(path); err == nil && !bytes.Equal(before, content) {
			err = replace(path, content)
		}
	}
	if err != nil {
		return fmt.Errorf("copy the journal's settings in %s: %w", dir, err)
	}
	return nil
}

// addMeta copies the settings of a stream or consumer, and reports whether it has a copy. While their checksum is wrong, as in the
// middle of a change, it keeps the old ones.
func (m *manifest) addMeta(dir, rel, key string, old *manifest) bool {
	meta, sum, ok := readMeta(filepath.Join(dir, filepath.FromSlash(rel)), key)
	if ok {
		m.Files[rel+"/"+metaFile] = sealed{Size: int64(len(meta)), Copy: meta}
		m.Files[rel+"/"+metaSumFile] = sealed{Size: int64(len(sum)), Copy: sum}
		return true
	}
	for _, name := range []string{metaFile, metaSumFile} {
		if file, known := old.Files[rel+"/"+name]; known {
			m.Files[rel+"/"+name], ok = file, true
		}
	}
	return ok
}
