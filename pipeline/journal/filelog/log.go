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
	// pollEvery is how often a reader checks for writes of another process.
	pollEvery = 50 * time.Millisecond
	// relistEvery is how often a reader lists the folder if the position file is lost.
	relistEvery = 5 * time.Second
)

var (
	errReadOnly = errors.New("the journal is open for reading only")
	errClosed   = errors.New("the journal is closed")
	errNoLog    = errors.New("there is no journal in this folder")
)

// Options configure a log.
type Options struct {
	Dir         string
	SegmentSize int64 // in bytes; 0: 64 MiB. A larger append gets a segment of its own size.
	// NoSync lets Append return before its entries are durable. They are synced in the background, at most once a second,
	// and by Close. It is meant for the log of attempts.
	NoSync bool
	Log    zerolog.Logger
	// Damaged, if not nil, is called once for each new damage, on the goroutine that finds it, which may be that of Open. It
	// may call [Log.Gaps] and no other method.
	Damaged func(Damage)
}

// Log is a [journal.Log] in a folder of files. Its methods are safe for concurrent use.
type Log struct {
	opts     Options
	catalog  catalog
	files    files
	losses   losses
	hints    hints
	polling  sync.Mutex
	listed   time.Time // guarded by polling
	position *positionFile
	writer   *writer // nil: open for reading only
	stop     context.CancelFunc
	running  sync.WaitGroup
}

var _ journal.Log = (*Log)(nil)

// Open opens the log of a folder for writing, and creates the folder if needed. Only one process can write: Open fails if
// another one does. It truncates an interrupted append and reports new damage. The caller must close the log.
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

// OpenReader opens the log of a folder for reading, while another process may write it. It sees only durable records.
// Methods that change the log return an error. It uses the options Dir, Log and Damaged. The caller must close the log.
func OpenReader(ctx context.Context, opts Options) (*Log, error) {
	l, err := openReader(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("read the journal in %s: %w", opts.Dir, err)
	}
	return l, nil
}

func newLog(opts Options, flag int, frozen bool) (*Log, error) {
	p, err := openPosition(opts.Dir, flag)
	if frozen && errors.Is(err, fs.ErrNotExist) { // lost, or there is no log
		p, err = &positionFile{}, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := readGaps(opts.Dir)
	if err != nil {
		opts.Log.Warn().Err(err).Msg("The list of the journal's gaps is damaged. Those that are found again are reported again.")
	}
	return &Log{
		opts: opts, position: p, files: files{dir: opts.Dir},
		losses: losses{dir: opts.Dir, readOnly: frozen, log: opts.Log, damaged: opts.Damaged, known: known, seen: map[string]struct{}{}},
	}, nil
}

// start runs the background work until Close.
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
func (l *Log) Gaps(ctx context.Context) ([]journal.Range, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	l.losses.reload()
	return l.losses.ranges(), nil
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
	if l.position.f != nil && !l.losses.readOnly {
		unlockFile(l.position.f)
	}
	l.position.close()
}
