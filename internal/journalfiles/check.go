// Package journalfiles checks the files in which the embedded NATS server keeps its streams, before the server runs. The server
// itself passes over a stream whose settings are damaged, cuts a message block at the first damaged record, and believes any
// cursor that it can decode. Here damage is undone from copies where there are any, confined to the records that are damaged
// where there are none, and named in either case. See README.md, "Damage on disk".
package journalfiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Options of [Check].
type Options struct {
	// Dir is the journal's folder, the server's store directory. It need not be there.
	Dir string
	// Evidence is a folder outside of it, which is made when there is something damaged to keep.
	Evidence string
	// Vital says of which consumers the cursor must not be given up. Nil: of none.
	Vital func(account, stream, consumer string) bool
}

// A check is one run of [Check].
type check struct {
	dir, evidence string
	vital         func(account, stream, consumer string) bool
	seal          *manifest // nil: nobody knows how the files were left
	copies        *manifest // never nil
	findings      []Finding
	err           error // of a restore
}

// Check looks at every file of the journal, mends what can be mended, and says what it found. It must not run while a server uses
// the folder. It returns an [Error] for what it cannot mend, with what it found until then. A finding is not said again by
// the next check. The seal is gone afterwards, unless there is an error.
func Check(ctx context.Context, o Options) ([]Finding, error) {
	c := &check{dir: o.Dir, evidence: o.Evidence, vital: o.Vital}
	err := c.run(ctx)
	return c.findings, err
}

func (c *check) run(ctx context.Context) error {
	if err := c.readManifests(); err != nil {
		return err
	}
	if c.seal != nil {
		if err := c.unseal(); err != nil {
			return err
		}
	}
	all, err := listStreams(c.dir)
	if err != nil {
		return fmt.Errorf("check the journal: %w", err)
	}
	if err := c.missingStreams(all); err != nil {
		return err
	}
	var streams []*stream
	for _, s := range all {
		there, err := c.checkStream(s)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		for _, name := range s.consumers {
			if err := c.checkConsumer(s, name); err != nil {
				return err
			}
		}
		c.missingConsumers(s)
		if err := c.findBlocks(s); err != nil {
			return err
		}
		streams = append(streams, s)
	}
	if err := c.scanBlocks(ctx, streams); err != nil {
		return err
	}
	for _, s := range streams {
		if err := c.judge(s); err != nil {
			return err
		}
	}
	if err := remove(filepath.Join(c.dir, sealFile)); err != nil {
		return fmt.Errorf("check the journal: %w", err)
	}
	return nil
}

// path of a file that is named by its path below the journal's folder.
func (c *check) path(rel string) string { return filepath.Join(c.dir, filepath.FromSlash(rel)) }

func (c *check) found(f Finding) { c.findings = append(c.findings, f) }

func (c *check) readManifests() error {
	path := filepath.Join(c.dir, sealFile)
	seal, err := readManifest(path)
	switch {
	case errors.Is(err, errDamaged), seal != nil && !fresh(c.dir):
		c.found(Finding{Kind: SealIgnored, File: path})
	case err != nil:
		return fmt.Errorf("check the journal: %w", err)
	default:
		c.seal = seal
	}
	c.copies, err = readManifest(filepath.Join(c.dir, copiesFile))
	if err != nil && !errors.Is(err, errDamaged) { // it is written anew
		return fmt.Errorf("check the journal: %w", err)
	}
	if c.copies == nil {
		c.copies = &manifest{}
	}
	return nil
}

// unseal restores the files of which the seal has copies.
func (c *check) unseal() error {
	for _, rel := range slices.Sorted(maps.Keys(c.seal.Files)) {
		file := c.seal.Files[rel]
		if strings.HasSuffix(rel, blockSuffix) || file.Size != int64(len(file.Copy)) {
			continue
		}
		if err := c.restore(rel, file, Restored); err != nil {
			return err
		}
	}
	return nil
}

// restore puts a file back if it is not as its copy, which is a finding of that kind.
func (c *check) restore(rel string, file sealed, kind Kind) error {
	content, err := read(c.path(rel))
	if err != nil {
		return fmt.Errorf("check the journal: %w", err)
	}
	if content != nil && bytes.Equal(content, file.Copy) {
		return nil
	}
	f := Finding{Kind: kind, File: c.path(rel)}
	if parts := strings.Split(rel, "/"); len(parts) > 4 { // jetstream/ACCOUNT/streams/STREAM/...
		f.Account, f.Stream = parts[1], parts[3]
		if len(parts) > 6 && parts[4] == cursorsFolder {
			f.Consumer = parts[5]
		}
	}
	if content != nil {
		if f.Kept, err = c.keep(rel); err != nil {
			return err
		}
	}
	err = os.MkdirAll(filepath.Dir(c.path(rel)), 0o700)
	if err == nil {
		err = replace(c.path(rel), file.Copy)
	}
	if err != nil {
		return fmt.Errorf("restore %s from its copy: %w; free some space or mend the permissions", c.path(rel), err)
	}
	c.found(f)
	return nil
}

// restoreMeta puts the settings of a stream or consumer back from the copies, which is a finding of that kind, and reports whether
// there are any; c.err is set if that goes wrong.
func (c *check) restoreMeta(rel string, kind Kind) bool {
	meta, ok1 := c.copies.Files[rel+"/"+metaFile]
	sum, ok2 := c.copies.Files[rel+"/"+metaSumFile]
	if !ok1 || !ok2 {
		return false
	}
	for name, file := range map[string]sealed{metaFile: meta, metaSumFile: sum} {
		if err := c.restore(rel+"/"+name, file, kind); err != nil {
			c.err = err
			return true
		}
	}
	return true
}

// missingStreams is an error if a stream of which there are copies is gone altogether.
func (c *check) missingStreams(there []*stream) error {
	for _, rel := range slices.Sorted(maps.Keys(c.copies.Files)) {
		parts := strings.Split(rel, "/")
		if len(parts) != 5 || parts[4] != metaFile {
			continue
		}
		dir := strings.Join(parts[:4], "/")
		if !slices.ContainsFunc(there, func(s *stream) bool { return s.rel == dir }) {
			return &Error{Finding{Kind: StreamBroken, Account: parts[1], Stream: parts[3], File: c.path(dir)}}
		}
	}
	return nil
}

// missingConsumers says which vital consumers of a stream are gone altogether.
func (c *check) missingConsumers(s *stream) {
	for _, rel := range slices.Sorted(maps.Keys(c.copies.Files)) {
		inside, ok := strings.CutPrefix(rel, s.rel+"/"+cursorsFolder+"/")
		name, file, _ := strings.Cut(inside, "/")
		if ok && file == metaFile && c.vital != nil && c.vital(s.account, s.name, name) && !slices.Contains(s.consumers, name) {
			c.found(Finding{Kind: CursorGone, Account: s.account, Stream: s.name, Consumer: name, File: filepath.Dir(c.path(rel))})
		}
	}
}

// aside keeps these files or folders as evidence, and removes them.
func (c *check) aside(f Finding, rels ...string) error {
	for _, rel := range rels {
		kept, err := c.keep(rel)
		if err != nil {
			return err
		}
		if f.Kept == "" {
			f.Kept = kept
		}
		if err := os.RemoveAll(c.path(rel)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("check the journal: %w", err)
		}
		if err := syncDir(filepath.Dir(c.path(rel))); err != nil {
			return fmt.Errorf("check the journal: %w", err)
		}
	}
	c.found(f)
	return nil
}
