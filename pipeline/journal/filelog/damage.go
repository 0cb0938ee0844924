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
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	damagedFolder = "damaged"
	// maxQuarantine bounds the copy of damaged bytes.
	maxQuarantine = 16 << 20
)

// Damage is a place where the log is not as it was written.
type Damage struct {
	Numbers journal.Range // the lost records; First is 0 if no record is lost
	Segment string        // the file's name
	Offset  int64
	Size    int64 // damaged bytes; 0 if they are missing
	// Account, ID and Time are those of the record if a single one is lost and still readable. They may be wrong, since the
	// record is damaged. Otherwise Time is that of a nearby record.
	Account string
	ID      string
	Time    time.Time
	Copy    string // path of the copy of the damaged bytes; empty if there is none
}

// losses tracks lost records and damaged bytes. It copies damaged bytes aside and reports each loss once.
type losses struct {
	dir      string
	readOnly bool // another process writes the log: change no file
	log      zerolog.Logger
	damaged  func(Damage)

	mu    sync.Mutex
	known gapRecord
	seen  map[string]struct{} // damage without a lost record that was reported
}

// ranges returns a copy of the gaps.
func (l *losses) ranges() []journal.Range {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]journal.Range(nil), l.known.Gaps...)
}

// addExpected adds a gap that is not reported as damage, and calls pass to skip its numbers. If pass fails, there is no gap.
func (l *losses) addExpected(s journal.Range, pass func() error) error {
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

// dropped records that retention has dropped all numbers before oldest, and forgets the gaps that end before gapsBefore. A
// later gap is as recent as the records after it.
func (l *losses) dropped(oldest, gapsBefore uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known.Oldest = oldest
	l.known.Gaps.forget(gapsBefore)
	return l.save()
}

// reload reads the gaps that the writing process has found. It does nothing in that process itself.
func (l *losses) reload() {
	if !l.readOnly {
		return
	}
	known, err := readGaps(l.dir)
	if err != nil {
		return // the file is being replaced or is damaged: keep what is known
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range known.Gaps {
		l.known.Gaps.add(s)
	}
	l.known.Oldest = max(l.known.Oldest, known.Oldest)
}

// save writes the gap record. l.mu is held.
func (l *losses) save() error {
	if l.readOnly {
		return nil
	}
	return writeGaps(l.dir, l.known)
}

// report records a loss and announces it if it is new. r reads the segment; it is nil if the segment is missing.
func (l *losses) report(lost segment.Loss, r io.ReaderAt) {
	name := segment.Name(lost.Segment)
	d := Damage{Segment: name, Offset: lost.Offset, Size: lost.Size, Time: lost.Before}
	key := fmt.Sprintf("%s-%d", name, lost.Offset)
	l.reload()
	l.mu.Lock()
	fresh := l.known.Gaps.add(lost.Numbers)
	_, seen := l.seen[key]
	if lost.Empty() && !seen {
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
	if lost.Empty() {
		if seen || l.quarantined(key) {
			return
		}
		fresh = append(fresh, journal.Range{})
	}
	if len(fresh) == 0 {
		return
	}
	if r != nil && lost.Size > 0 {
		raw := make([]byte, min(lost.Size, maxQuarantine))
		n, _ := disk.ReadAt(r, raw, lost.Offset)
		identify(&d, raw[:n], &lost)
		d.Copy = l.quarantine(key, raw[:n])
	}
	for _, rng := range fresh {
		d.Numbers = rng
		l.announce(&d)
	}
}

// announce logs damage and calls the configured callback.
func (l *losses) announce(d *Damage) {
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
	if d.Copy != "" {
		event = event.Str("kept", d.Copy)
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

// identify sets the fields of d that are readable in a damaged record.
func identify(d *Damage, raw []byte, lost *segment.Loss) {
	if lost.Numbers.First != lost.Numbers.Last || len(raw) < frame.HeaderSize {
		return
	}
	e, err := journal.ParseEntry(raw[frame.HeaderSize:])
	if err != nil {
		return
	}
	if !e.Time.Before(lost.Before) && (lost.After.IsZero() || !e.Time.After(lost.After)) && e.Time.Before(time.Now().Add(time.Hour)) {
		d.Time = e.Time
	}
	if utf8.ValidString(e.Account) && len(e.Account) < 256 && utf8.ValidString(e.ID) && len(e.ID) < 256 {
		d.Account, d.ID = e.Account, e.ID
	}
}

func (l *losses) quarantined(key string) bool {
	_, err := os.Lstat(filepath.Join(l.dir, damagedFolder, key))
	return err == nil
}

// quarantine copies damaged bytes to a file and returns its path.
func (l *losses) quarantine(key string, raw []byte) string {
	if l.readOnly || len(raw) == 0 {
		return ""
	}
	dir := filepath.Join(l.dir, damagedFolder)
	path := filepath.Join(dir, key)
	err := os.Mkdir(dir, 0o700)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = writeFile(path, raw, true)
	}
	if err != nil {
		l.log.Warn().Err(err).Str("segment", key).Msg("Damaged bytes of the journal cannot be copied to the folder damaged.")
		return ""
	}
	return path
}
