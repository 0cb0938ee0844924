package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	defaultSegment = 64 << 20
	minSegment     = 1 << 10
	// pollEvery is how often a reader looks whether another process has written.
	pollEvery = 50 * time.Millisecond
	// relistEvery is how often a reader lists the folder if the position is lost.
	relistEvery = 5 * time.Second
)

var (
	errReadOnly = errors.New("the journal is open for reading only")
	errClosed   = errors.New("the journal is closed")
	errNoLog    = errors.New("there is no journal in this folder")
)

// Options say how a log is opened.
type Options struct {
	Dir         string
	SegmentSize int64 // in bytes; 64 MiB if it is 0. An append that is larger than a segment makes one of its own size.
	// NoSync lets Append return before what it wrote is durable. It is synced in the background, once a second at most, and by Close. It is meant for
	// the log of attempts.
	NoSync bool
	Log    zerolog.Logger
	// Damaged is called once for each new damage that is found, from the goroutine that finds it, also during Open. It may call Gaps and nothing else.
	Damaged func(Damage)
}

// Log is a [journal.Log] in the files of a folder.
type Log struct {
	opts     Options
	catalog  catalog
	files    files
	losses   losses
	hints    hints
	polling  sync.Mutex
	listed   time.Time // guarded by polling
	position *positionFile
	writer   *writer // nil if it is open for reading only
	stop     context.CancelFunc
	running  sync.WaitGroup
}

var _ journal.Log = (*Log)(nil)

// Open opens the log of a folder for the one process that writes it, and makes the folder if there is none. It cuts what an interrupted append has left,
// and reports new damage.
func Open(ctx context.Context, opts Options) (*Log, error) {
	if opts.SegmentSize == 0 {
		opts.SegmentSize = defaultSegment
	}
	opts.SegmentSize = max(opts.SegmentSize, minSegment)
	l, err := open(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("open the journal in %s: %w", opts.Dir, err)
	}
	return l, nil
}

func open(ctx context.Context, opts Options) (_ *Log, err error) {
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, err
	}
	l, err := newLog(opts, os.O_RDWR|os.O_CREATE, false)
	if err != nil {
		return nil, err
	}
	l.writer = &writer{log: l, sync: disk.SyncData}
	defer func() {
		if err != nil {
			l.closeFiles()
		}
	}()
	if err = lockFile(ctx, l.position.f); err != nil {
		return nil, err
	}
	if err = l.recover(ctx); err != nil {
		return nil, err
	}
	l.start(ctx)
	return l, nil
}

// OpenReader opens the log of a folder for reading, while another process may write it. It sees what is durable. All that would change the log returns an error.
// Of the options it uses Dir, Log and Damaged.
func OpenReader(ctx context.Context, opts Options) (*Log, error) {
	l, err := openReader(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("read the journal in %s: %w", opts.Dir, err)
	}
	return l, nil
}

func newLog(opts Options, flag int, frozen bool) (*Log, error) {
	p, err := openPosition(opts.Dir, flag)
	if frozen && errors.Is(err, fs.ErrNotExist) { // it is lost, or there is no log
		p, err = &positionFile{}, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := readKnowledge(opts.Dir)
	if err != nil {
		opts.Log.Warn().Err(err).Msg("The list of the journal's gaps is damaged. Those that are found again are reported again.")
	}
	return &Log{
		opts: opts, position: p, files: files{dir: opts.Dir},
		losses: losses{dir: opts.Dir, frozen: frozen, log: opts.Log, damaged: opts.Damaged, known: known, seen: map[string]struct{}{}},
	}, nil
}

// start runs what goes on in the background until Close.
func (l *Log) start(ctx context.Context) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	if l.writer == nil {
		l.running.Go(func() { l.poll(ctx) })
		return
	}
	l.writer.wake = make(chan struct{}, 1)
	l.writer.builder.work = make(chan struct{}, 1)
	l.running.Go(func() { l.writer.flush(ctx) })
	l.running.Go(func() { l.build(ctx) })
}

// Bounds implements [journal.Log].
func (l *Log) Bounds() (first, next uint64) {
	l.refresh()
	return l.catalog.bounds()
}

// Changed implements [journal.Log].
func (l *Log) Changed() <-chan struct{} { return l.catalog.watch() }

// Gaps implements [journal.Log].
func (l *Log) Gaps(ctx context.Context) ([]journal.Span, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	l.losses.reload()
	return l.losses.spans(), nil
}

// Size implements [journal.Log].
func (l *Log) Size() int64 { return l.catalog.disk() }

// Close implements [journal.Log].
func (l *Log) Close() error {
	l.stop()
	l.running.Wait()
	var err error
	if l.writer != nil {
		err = l.writer.close()
	}
	l.closeFiles()
	return err
}

func (l *Log) closeFiles() {
	if l.writer != nil && l.writer.f != nil {
		_ = l.writer.f.Close()
	}
	l.files.close()
	if l.position.f != nil && !l.losses.frozen {
		unlockFile(l.position.f)
	}
	l.position.close()
}
