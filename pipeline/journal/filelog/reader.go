package filelog

import (
	"context"
	"os"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

func openReader(ctx context.Context, opts Options) (*Log, error) {
	l, err := newLog(opts, os.O_RDONLY, true)
	if err != nil {
		return nil, err
	}
	if err := l.list(); err != nil {
		l.closeFiles()
		return nil, err
	}
	if l.position.f == nil && len(l.catalog.segs) == 0 {
		return nil, errNoLog
	}
	if err := context.Cause(ctx); err != nil {
		l.closeFiles()
		return nil, err
	}
	l.start(ctx)
	return l, nil
}

// poll checks for writes of another process until ctx ends.
func (l *Log) poll(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.refresh()
		}
	}
}

// refresh updates a reader. It usually costs one small read.
func (l *Log) refresh() {
	if l.writer != nil {
		return
	}
	l.polling.Lock()
	defer l.polling.Unlock()
	at, ok := l.position.read()
	if !ok {
		if time.Since(l.listed) > relistEvery {
			if err := l.list(); err != nil {
				l.opts.Log.Debug().Err(err).Msg("The folder of the journal cannot be listed now.")
			}
		}
		return
	}
	l.catalog.mu.RLock()
	same := false
	if a := l.catalog.active(); a != nil {
		same = a.first == at.active && l.catalog.segs[0].first == at.oldest
	}
	next := l.catalog.next
	l.catalog.mu.RUnlock()
	switch {
	case !same:
		if err := l.list(); err != nil {
			l.opts.Log.Debug().Err(err).Msg("The folder of the journal cannot be listed now.")
		}
	case next != at.last+1:
		l.catalog.update(func() {
			l.catalog.active().last = at.last
			l.catalog.next = at.last + 1
		})
	}
}

// list reads the folder for a reader. l.polling is held, except during open.
func (l *Log) list() error {
	l.listed = time.Now()
	at, ok := l.position.read()
	found, err := segment.List(l.opts.Dir)
	if err != nil {
		return err
	}
	for i := range found {
		if ok && found[i].First > at.active { // created, but not in use yet
			found = found[:i]
			break
		}
	}
	known := make(map[uint64]*segmentInfo)
	l.catalog.mu.RLock()
	for _, s := range l.catalog.segs[:max(len(l.catalog.segs)-1, 0)] {
		known[s.first] = s
	}
	l.catalog.mu.RUnlock()
	segs := make([]*segmentInfo, 0, len(found))
	for i, f := range found {
		if have := known[f.First]; have != nil {
			segs = append(segs, have)
			continue
		}
		s := &segmentInfo{first: f.First, last: f.First - 1, size: f.Size, allocated: f.Size}
		if i+1 < len(found) {
			s.last = found[i+1].First - 1
			if c, err := segment.ReadIndex(l.opts.Dir, f.First, f.Size, false); err == nil {
				s.last, s.oldest, s.newest, s.indexed = c.Last, c.Oldest, c.Newest, true
			}
		} else if err := l.listLast(s, at.last, ok); err != nil {
			return err
		}
		segs = append(segs, s)
	}
	l.catalog.update(func() {
		l.catalog.segs = segs
		l.catalog.next = at.last + 1
		if n := len(segs); n > 0 && !ok {
			l.catalog.next = segs[n-1].last + 1
		}
	})
	return nil
}

// listLast completes the active segment. Without a position, its readable records count.
func (l *Log) listLast(s *segmentInfo, last uint64, ok bool) error {
	if ok {
		s.last, s.size = max(last, s.first-1), -1
		return nil
	}
	f, err := l.files.acquire(s.first)
	if err != nil {
		return err
	}
	defer l.files.release(f)
	t, err := segment.ReadTail(f.f, s.first, s.size, 0)
	if err != nil {
		return err
	}
	s.last = t.Last
	return nil
}
