package filelog

import (
	"context"
	"os"
	"time"
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

// poll looks for what another process has written.
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

// refresh brings a reader up to date. It costs one small read.
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

// list reads the folder, as a reader does.
func (l *Log) list() error {
	l.listed = time.Now()
	at, ok := l.position.read()
	found, err := listSegments(l.opts.Dir)
	if err != nil {
		return err
	}
	for i := range found {
		if ok && found[i].first > at.active { // made, and not used yet
			found = found[:i]
			break
		}
	}
	known := make(map[uint64]*segment)
	l.catalog.mu.RLock()
	for _, s := range l.catalog.segs[:max(len(l.catalog.segs)-1, 0)] {
		known[s.first] = s
	}
	l.catalog.mu.RUnlock()
	segs := make([]*segment, 0, len(found))
	for i, f := range found {
		if have := known[f.first]; have != nil {
			segs = append(segs, have)
			continue
		}
		s := &segment{first: f.first, last: f.first - 1, size: f.size, allocated: f.size}
		if i+1 < len(found) {
			s.last = found[i+1].first - 1
			if c, err := readIndex(l.opts.Dir, f.first, f.size, false); err == nil {
				s.last, s.oldest, s.newest, s.indexed = c.last, c.oldest, c.newest, true
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

// listLast completes the segment that is written to. Without a position, what can be read of it counts.
func (l *Log) listLast(s *segment, last uint64, ok bool) error {
	if ok {
		s.last, s.size = max(last, s.first-1), -1
		return nil
	}
	f, err := l.files.acquire(s.first)
	if err != nil {
		return err
	}
	defer l.files.release(f)
	t, err := readTail(f.f, s.first, s.size, 0)
	if err != nil {
		return err
	}
	s.last = t.last
	return nil
}
