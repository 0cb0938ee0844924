package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	damagedFolder = "damaged"
	// maxAside bounds how much of one damage is kept aside.
	maxAside = 16 << 20
)

// Damage is a place of the log that is not as it was written.
type Damage struct {
	Numbers journal.Span // the records that are lost. First is 0 if none is: what is damaged was no record.
	Segment string       // the file's name
	Offset  int64
	Size    int64 // of what is damaged; 0 if it is missing
	// Account, ID and Time are those of the record, if one is lost and they are still readable, and may be wrong by what is damaged. Time is else that of a record
	// near by.
	Account string
	ID      string
	Time    time.Time
	Aside   string // where its bytes were copied; empty if they were not
}

// losses knows what is lost, keeps its bytes aside, and reports it once.
type losses struct {
	dir     string
	frozen  bool // changes no file
	log     zerolog.Logger
	damaged func(Damage)

	mu    sync.Mutex
	known knowledge
	seen  map[string]struct{} // damages that cost no record
}

// spans returns the gaps.
func (l *losses) spans() []journal.Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]journal.Span(nil), l.known.Gaps...)
}

// expect adds a gap that is no damage to report, if its numbers are passed over: else they are given, and are none.
func (l *losses) expect(s journal.Span, pass func() error) error {
	l.mu.Lock()
	before := append(gapSet(nil), l.known.Gaps...)
	l.known.Gaps.add(s)
	l.mu.Unlock()
	err := pass()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.known.Gaps = before
		return err
	}
	if err := l.save(); err != nil {
		l.log.Warn().Err(err).Msg("The gaps of the journal cannot be stored now. The next start reports them again.")
	}
	return nil
}

// dropped says that retention has dropped all numbers before oldest, of which it has dropped the gaps before that number. Those behind it are as young
// as what follows them.
func (l *losses) dropped(oldest, gapsBefore uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known.Oldest = oldest
	l.known.Gaps.forget(gapsBefore)
	return l.save()
}

// reload learns what another process knows, in one that only reads.
func (l *losses) reload() {
	if !l.frozen {
		return
	}
	known, err := readKnowledge(l.dir)
	if err != nil {
		return // it is being replaced, or damaged: what was known before still is
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range known.Gaps {
		l.known.Gaps.add(s)
	}
	l.known.Oldest = max(l.known.Oldest, known.Oldest)
}

// save is called with the lock held.
func (l *losses) save() error {
	if l.frozen {
		return nil
	}
	return writeKnowledge(l.dir, l.known)
}

// report records a loss, if it is new. r is the segment, nil if it is missing.
func (l *losses) report(lost loss, r io.ReaderAt) {
	name := segmentName(lost.segment)
	d := Damage{Segment: name, Offset: lost.off, Size: lost.size, Time: lost.before}
	key := fmt.Sprintf("%s-%d", name, lost.off)
	l.reload()
	l.mu.Lock()
	fresh := l.known.Gaps.add(lost.span)
	_, seen := l.seen[key]
	if lost.none() && !seen {
		l.seen[key] = struct{}{}
	}
	var err error
	if len(fresh) > 0 {
		err = l.save()
	}
	l.mu.Unlock()
	if err != nil {
		l.log.Warn().Err(err).Msg("The gaps of the journal cannot be stored now. The next start reports them again.")
	}
	if lost.none() {
		if seen || l.hasAside(key) {
			return
		}
		fresh = append(fresh, journal.Span{})
	}
	if len(fresh) == 0 {
		return
	}
	if r != nil && lost.size > 0 {
		raw := make([]byte, min(lost.size, maxAside))
		n, _ := disk.ReadAt(r, raw, lost.off)
		identify(&d, raw[:n], &lost)
		d.Aside = l.keepAside(key, raw[:n])
	}
	for _, span := range fresh {
		d.Numbers = span
		l.say(&d)
	}
}

func (l *losses) say(d *Damage) {
	event := l.log.Error().Str("segment", d.Segment).Int64("offset", d.Offset).Int64("bytes", d.Size)
	if d.Numbers.First > 0 {
		event = event.Uint64("first", d.Numbers.First).Uint64("last", d.Numbers.Last)
	}
	if d.Account != "" {
		event = event.Str("account", d.Account)
	}
	if !d.Time.IsZero() {
		event = event.Time("journaled", d.Time)
	}
	if d.Aside != "" {
		event = event.Str("kept", d.Aside)
	}
	switch {
	case d.Numbers.First == 0:
		event.Msg("The journal is damaged where no record is. Nothing is lost.")
	case d.Size == 0:
		event.Msg("Records of the journal are missing.")
	default:
		event.Msg("The journal is damaged. Records are lost.")
	}
	if l.damaged != nil {
		l.damaged(*d)
	}
}

// identify reads what can be read of a damaged record.
func identify(d *Damage, raw []byte, lost *loss) {
	if lost.span.First != lost.span.Last || len(raw) < frame.HeaderSize {
		return
	}
	e, err := journal.ParseEntry(raw[frame.HeaderSize:])
	if err != nil {
		return
	}
	if !e.Time.Before(lost.before) && (lost.after.IsZero() || !e.Time.After(lost.after)) && e.Time.Before(time.Now().Add(time.Hour)) {
		d.Time = e.Time
	}
	if utf8.ValidString(e.Account) && len(e.Account) < 256 && utf8.ValidString(e.ID) && len(e.ID) < 256 {
		d.Account, d.ID = e.Account, e.ID
	}
}

func (l *losses) hasAside(key string) bool {
	_, err := os.Lstat(filepath.Join(l.dir, damagedFolder, key))
	return err == nil
}

// keepAside copies damaged bytes and returns the file.
func (l *losses) keepAside(key string, raw []byte) string {
	if l.frozen || len(raw) == 0 {
		return ""
	}
	dir := filepath.Join(l.dir, damagedFolder)
	path := filepath.Join(dir, key)
	err := os.Mkdir(dir, 0o700)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = writeFile(path, raw, true)
	}
	if err != nil {
		l.log.Warn().Err(err).Str("segment", key).Msg("What is damaged of the journal cannot be copied aside.")
		return ""
	}
	return path
}
