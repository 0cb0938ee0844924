package journalfiles

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"slices"
)

// The server's folders and files, below the journal's folder: jetstream/ACCOUNT/streams/STREAM/ with meta.inf, meta.sum,
// msgs/NUMBER.blk, msgs/index.db, and obs/CONSUMER/ with meta.inf, meta.sum and o.dat.
const (
	storeFolder    = "jetstream"
	streamsFolder  = "streams"
	messagesFolder = "msgs"
	cursorsFolder  = "obs"
	batchesFolder  = "batches" // batches that were not acknowledged yet
	metaFile       = "meta.inf"
	metaSumFile    = "meta.sum"
	cursorFile     = "o.dat"
	indexFile      = "index.db"
	blockSuffix    = ".blk"
)

// A stream is one in the store.
type stream struct {
	account, name string
	rel           string // its folder, below the journal's
	consumers     []string

	subjects  []string
	blocks    []*block
	delivered uint64 // the highest number that a consumer was handed, by a cursor that can be believed
}

func listStreams(dir string) ([]*stream, error) {
	accounts, err := folders(filepath.Join(dir, storeFolder))
	if err != nil {
		return nil, err
	}
	var streams []*stream
	for _, account := range accounts {
		base := filepath.Join(storeFolder, account, streamsFolder)
		names, err := folders(filepath.Join(dir, base))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			s := &stream{account: account, name: name, rel: filepath.ToSlash(filepath.Join(base, name))}
			if s.consumers, err = folders(filepath.Join(dir, base, name, cursorsFolder)); err != nil {
				return nil, err
			}
			streams = append(streams, s)
		}
	}
	return streams, nil
}

// readMeta reads the settings of a stream or consumer, and reports whether their checksum is right. key is STREAM or
// STREAM/CONSUMER.
func readMeta(dir, key string) (meta, sum []byte, ok bool) {
	meta, err1 := read(filepath.Join(dir, metaFile))
	sum, err2 := read(filepath.Join(dir, metaSumFile))
	if err1 != nil || err2 != nil || len(meta) == 0 {
		return meta, sum, false
	}
	hash, err := newHash(key)
	if err != nil {
		return meta, sum, false
	}
	_, _ = hash.Write(meta) // it never fails
	return meta, sum, bytes.Equal(hex.AppendEncode(nil, hash.Sum(nil)), sum)
}

// metaKind tells settings that are half written from damaged ones, which are a finding of the given kind: the server writes the
// settings first and their checksum then, so a crash in between leaves two files that are whole and do not belong together.
func (c *check) metaKind(damaged Kind, name string, meta, sum []byte) Kind {
	var settings struct {
		Name string `json:"name"`
	}
	if c.seal != nil || json.Unmarshal(meta, &settings) != nil || settings.Name != name {
		return damaged
	}
	if old, err := hex.DecodeString(string(sum)); sum != nil && (err != nil || len(old) != sumLen) {
		return damaged
	}
	return Unfinished
}

// checkStream sees to it that the settings of a stream can be read, and reports whether the stream is still there.
func (c *check) checkStream(s *stream) (bool, error) {
	meta, sum, ok := readMeta(c.path(s.rel), s.name)
	if !ok && c.restoreMeta(s.rel, c.metaKind(Restored, s.name, meta, sum)) {
		if err := c.err; err != nil {
			return false, err
		}
		meta, _, ok = readMeta(c.path(s.rel), s.name)
	}
	if !ok {
		return false, c.loseStream(s)
	}
	var settings struct {
		Subjects []string `json:"subjects"`
	}
	if err := json.Unmarshal(meta, &settings); err != nil {
		return false, c.loseStream(s)
	}
	s.subjects = settings.Subjects
	return true, nil
}

// loseStream takes a stream without settings out if it holds nothing, as one that a crash left half made, and is an error
// otherwise.
func (c *check) loseStream(s *stream) error {
	f := Finding{Kind: StreamAside, Account: s.account, Stream: s.name, File: c.path(s.rel + "/" + metaFile)}
	if err := c.findBlocks(s); err != nil {
		return err
	}
	if slices.ContainsFunc(s.blocks, func(b *block) bool { return b.missing || b.size > 0 }) {
		f.Kind = StreamBroken
		return &Error{f}
	}
	return c.aside(f, s.rel)
}

// checkConsumer sees to it that the settings of a consumer and its cursor can be read.
func (c *check) checkConsumer(s *stream, name string) error {
	rel := s.rel + "/" + cursorsFolder + "/" + name
	about := Finding{Account: s.account, Stream: s.name, Consumer: name, File: c.path(rel + "/" + metaFile)}
	meta, sum, ok := readMeta(c.path(rel), s.name+"/"+name)
	if !ok && !c.restoreMeta(rel, c.metaKind(Restored, name, meta, sum)) && len(meta)+len(sum) > 0 {
		about.Kind = c.metaKind(SettingsAside, name, meta, sum)
		if err := c.aside(about, rel+"/"+metaFile, rel+"/"+metaSumFile); err != nil {
			return err
		}
	}
	if c.err != nil {
		return c.err
	}
	if !ok {
		meta, _, _ = readMeta(c.path(rel), s.name+"/"+name) // as restored, if it was
	}
	vital := c.vital != nil && c.vital(s.account, s.name, name)
	about.File = c.path(rel + "/" + cursorFile)
	content, err := read(about.File)
	if err != nil {
		return err
	}
	if content == nil { // as a crash right after it was made leaves it
		if _, known := c.copies.Files[rel+"/"+cursorFile]; !known || !vital {
			return nil
		}
		about.Kind = CursorBroken
		return &Error{about}
	}
	at, err := readCursor(content, explicit(meta))
	if copied, ok := c.copies.Files[rel+"/"+cursorFile]; ok && vital && err == nil {
		// It only ever goes forward.
		if was, oldErr := readCursor(copied.Copy, explicit(meta)); oldErr == nil && (at.acked < was.acked || at.delivered < was.delivered) {
			err = errCursor
		}
	}
	switch {
	case err == nil:
		s.delivered = max(s.delivered, at.delivered)
		return nil
	case vital:
		about.Kind = CursorBroken
		return &Error{about}
	}
	about.Kind = CursorAside
	return c.aside(about, rel)
}

// explicit reports whether a consumer acknowledges each message by itself and gives none up, by its settings.
func explicit(meta []byte) bool {
	var settings struct {
		AckPolicy  string `json:"ack_policy"`
		MaxDeliver int    `json:"max_deliver"`
	}
	return json.Unmarshal(meta, &settings) == nil && settings.AckPolicy == "explicit" && settings.MaxDeliver < 0
}
