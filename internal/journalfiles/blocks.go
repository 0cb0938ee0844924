package journalfiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A block is one file of messages.
type block struct {
	stream  *stream
	index   uint32
	rel     string
	size    int64
	want    int64 // its size by the seal; -1 if that does not know it
	missing bool
	remade  bool // only what says that it is compressed was damaged
	scan    scan
}

// findBlocks lists the blocks of a stream that are there, and those that should be.
func (c *check) findBlocks(s *stream) error {
	folder := s.rel + "/" + messagesFolder
	entries, err := os.ReadDir(c.path(folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check the journal: %w", err)
	}
	s.blocks = nil
	for _, e := range entries {
		index, ok := blockIndex(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("check the journal: %w", err)
		}
		s.blocks = append(s.blocks, &block{stream: s, index: index, rel: folder + "/" + e.Name(), size: info.Size(), want: -1})
	}
	if c.seal != nil {
		for rel, file := range c.seal.Files {
			name, ok := strings.CutPrefix(rel, folder+"/")
			index, isBlock := blockIndex(name)
			if !ok || !isBlock {
				continue
			}
			i := slices.IndexFunc(s.blocks, func(b *block) bool { return b.index == index })
			if i < 0 {
				i = len(s.blocks)
				s.blocks = append(s.blocks, &block{stream: s, index: index, rel: rel, missing: file.Size > 0})
			}
			s.blocks[i].want = file.Size
		}
	}
	slices.SortFunc(s.blocks, func(a, b *block) int { return int(int64(a.index) - int64(b.index)) })
	return nil
}

func blockIndex(name string) (uint32, bool) {
	number, ok := strings.CutSuffix(name, blockSuffix)
	index, err := strconv.ParseUint(number, 10, 32)
	return uint32(index), ok && err == nil
}

// scanBlocks reads all blocks of all streams, several at a time.
func (c *check) scanBlocks(ctx context.Context, streams []*stream) error {
	var all []*block
	for _, s := range streams {
		for _, b := range s.blocks {
			if !b.missing {
				all = append(all, b)
			}
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan *block)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		workers.Go(func() {
			for b := range work {
				if err := c.scanFile(b); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, b := range all {
		if ctx.Err() != nil {
			break
		}
		work <- b
	}
	close(work)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (c *check) scanFile(b *block) error {
	content, err := read(c.path(b.rel))
	if err != nil {
		return fmt.Errorf("check the journal: %w; the disk or its permissions need mending", err)
	}
	f, err := newFormat(b.stream.name, b.index, b.stream.subjects)
	if err != nil {
		return fmt.Errorf("check the journal: %w", err)
	}
	b.size = int64(len(content))
	records, remake := expand(content)
	b.scan = f.scanBlock(records)
	if b.remade = remake && b.scan.whole == nil; b.remade {
		b.scan.whole = records
	}
	return nil
}

// judge says what is wrong with the blocks of a stream, and rewrites those that are damaged.
func (c *check) judge(s *stream) error {
	ends, indexed := readIndex(c.path(s.rel + "/" + messagesFolder + "/" + indexFile))
	if c.seal != nil {
		if known, ok := c.seal.Streams[s.rel]; ok {
			ends, indexed = known, true
		}
	}
	j := &judgement{check: c, stream: s, ends: ends}
	for i, b := range s.blocks {
		j.block(i, b)
	}
	last := max(j.last, s.delivered)
	if len(j.findings) > 0 || j.damaged {
		last = max(last, j.ends.Last, j.guess)
	}
	if last > j.last && last > j.said && s.delivered > j.last {
		j.lose(s.blocks, nil, j.last+1, last)
	}
	return j.write(last, indexed)
}

// A judgement puts what was found in the blocks of a stream together.
type judgement struct {
	check    *check
	stream   *stream
	ends     streamEnds // as the server left it, zero if that is not known
	last     uint64     // the highest number in the blocks so far
	lastTime int64
	said     uint64 // up to here it was said what is lost
	guess    uint64 // the highest number that a damaged record names
	damaged  bool
	findings []Finding // without where the damaged file is kept
	of       []*block  // the blocks of these
}

func (j *judgement) block(i int, b *block) {
	before := j.last
	if b.missing {
		j.damaged = true
		j.stretch(b, nil, before, j.next(i))
		return
	}
	for n := range b.scan.holes {
		h := &b.scan.holes[n]
		j.damaged = true
		after, until := max(before, h.after), h.before
		if until == 0 {
			until = j.next(i)
		}
		newest := i == len(j.stream.blocks)-1 && n == len(b.scan.holes)-1 && h.before == 0
		if newest && j.check.seal == nil && h.cut && max(j.stream.delivered, j.ends.Last) <= after {
			j.add(b, Finding{Kind: Torn, First: after + 1, Last: after + 1})
			continue
		}
		if newest && !j.sure() {
			j.guess = max(j.guess, h.seq)
			if h.size > leastRecord {
				j.guess = max(j.guess, after+1)
			}
		}
		j.stretch(b, h, after, until)
	}
	for _, seq := range b.scan.mended {
		j.damaged = true
		j.add(b, Finding{Kind: Mended, First: seq, Last: seq})
	}
	if b.remade {
		j.damaged = true
		j.add(b, Finding{Kind: Junk})
	}
	if b.scan.last > j.last {
		j.last, j.lastTime = b.scan.last, b.scan.lastTime
	}
	tail := len(b.scan.holes) > 0 && b.scan.holes[len(b.scan.holes)-1].before == 0
	if b.want > b.size && !tail {
		j.damaged = true
		j.stretch(b, nil, j.last, j.next(i))
	}
}

// sure reports whether the last number is known for certain.
func (j *judgement) sure() bool { return j.check.seal != nil && j.ends.Last > 0 }

// next is the lowest number after the i-th block, or 0 if there is none.
func (j *judgement) next(i int) uint64 {
	for _, b := range j.stream.blocks[i+1:] {
		if b.scan.first > 0 {
			return b.scan.first
		}
	}
	return 0
}

// stretch says what is lost between the numbers after and until, of which 0 is none.
func (j *judgement) stretch(b *block, h *hole, after, until uint64) {
	first, last := after+1, until-1
	if until == 0 {
		last = max(j.ends.Last, j.stream.delivered)
		if h != nil && !j.sure() {
			last = max(last, h.seq)
			if h.size > leastRecord {
				last = max(last, first)
			}
		}
	}
	if after == 0 { // the oldest that there are
		switch {
		case j.ends.First > 0:
		case h != nil && h.seq > 0:
			first = h.seq
		case last > 0:
			first = last
		}
	}
	first = max(first, j.ends.First)
	if first <= last {
		j.lose([]*block{b}, h, first, last)
		return
	}
	kind := DeletionLost
	if b.want >= 0 && b.size > b.want {
		kind = Junk
	}
	j.add(b, Finding{Kind: kind})
}

// lose says that these numbers are lost, unless that was said.
func (j *judgement) lose(of []*block, h *hole, first, last uint64) {
	first = max(first, j.said+1)
	if first > last {
		return
	}
	j.said = last
	f := Finding{Kind: Lost, First: first, Last: last, Notes: h == nil || !h.one || last > first}
	if h != nil && h.seq >= first && h.seq <= last && h.time > 0 {
		f.Time = time.Unix(0, h.time).UTC()
	}
	if h != nil {
		f.Subject = h.subject
	}
	var b *block
	if len(of) > 0 {
		b = of[len(of)-1]
	}
	j.add(b, f)
}

func (j *judgement) add(b *block, f Finding) {
	f.Account, f.Stream = j.stream.account, j.stream.name
	f.File = j.check.path(j.stream.rel + "/" + messagesFolder)
	if b != nil {
		f.File = j.check.path(b.rel)
	}
	j.findings = append(j.findings, f)
	j.of = append(j.of, b)
}

// write rewrites the damaged blocks, and sees to it that the stream goes on after the number last. The server's index goes
// first: it would be believed.
func (j *judgement) write(last uint64, indexed bool) error {
	c, s := j.check, j.stream
	index := s.rel + "/" + messagesFolder + "/" + indexFile
	if _, err := os.Stat(c.path(index)); err == nil && (!indexed || len(j.findings) > 0 || last > j.last) {
		if !indexed {
			c.found(Finding{Kind: Rebuilt, Account: s.account, Stream: s.name, File: c.path(index)})
		}
		if err := remove(c.path(index)); err != nil {
			return fmt.Errorf("check the journal: %w", err)
		}
	}
	kept := make(map[*block]string)
	for _, b := range s.blocks {
		if b.scan.whole == nil {
			continue
		}
		where, err := c.keep(b.rel)
		if err != nil {
			return err
		}
		kept[b] = where
	}
	if last > j.last {
		if err := j.extend(last); err != nil {
			return err
		}
	}
	for _, b := range s.blocks {
		if b.scan.whole == nil {
			continue
		}
		if err := replace(c.path(b.rel), b.scan.whole); err != nil {
			return fmt.Errorf("rewrite %s without what is damaged: %w; free some space or mend the permissions", c.path(b.rel), err)
		}
	}
	for i, f := range j.findings {
		f.Kept = kept[j.of[i]]
		c.found(f)
	}
	return nil
}

// extend lets the newest block end with an erased message of the number last.
func (j *judgement) extend(last uint64) error {
	s := j.stream
	if len(s.blocks) == 0 {
		s.blocks = append(s.blocks, &block{stream: s, index: 1, rel: s.rel + "/" + messagesFolder + "/1" + blockSuffix, missing: true})
	}
	b := s.blocks[len(s.blocks)-1]
	f, err := newFormat(s.name, b.index, nil)
	if err != nil {
		return fmt.Errorf("check the journal: %w", err)
	}
	content := b.scan.whole
	if content == nil {
		if content, err = read(j.check.path(b.rel)); err != nil {
			return fmt.Errorf("check the journal: %w", err)
		}
		content, _ = expand(content)
	}
	if err := os.MkdirAll(filepath.Dir(j.check.path(b.rel)), 0o700); err != nil {
		return fmt.Errorf("check the journal: %w", err)
	}
	b.scan.whole = f.appendErased(content, last, j.lastTime)
	return nil
}
