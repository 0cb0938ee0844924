package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
)

// importBatch is the number of events per write.
const importBatch = 256

// Import journals the events of an export, one JSON object per line, while no relay runs. Once the journal is open, it calls done with the numbers of
// added and already known events, even if it then returns an error. An error names the line.
func Import(ctx context.Context, o Options, in io.Reader, done func(added, known int) error) (err error) {
	lock, err := datadir.Lock(ctx, o.Dir)
	if err != nil {
		return err
	}
	var undo datadir.Teardown
	undo.Add("data folder", lock.Close)
	defer func() { err = errors.Join(err, undo.Run()) }()
	k := newJournalService(o.Dir, &undo, o.Log)
	if err := k.open(ctx, o.Config.Journal, nil); err != nil {
		return err
	}
	added, known, err := k.importLines(ctx, in)
	if err != nil {
		err = fmt.Errorf("import events, line %d: %w", added+known+1, err)
	}
	return errors.Join(err, done(added, known))
}

// importLines appends the events that are not in the journal. It returns how many are on disk, and how many were known.
func (j *journalService) importLines(ctx context.Context, in io.Reader) (added, known int, err error) {
	r := bufio.NewReaderSize(in, 64<<10)
	var waiting []journal.Entry
	flush := func() error {
		if _, err := j.journal.Put(ctx, waiting...); err != nil {
			return err
		}
		added += len(waiting)
		waiting = waiting[:0]
		return nil
	}
	for err == nil {
		var line []byte
		line, err = r.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		e, importErr := intake.ImportEntry(bytes.Clone(line))
		if importErr != nil {
			return added, known, importErr
		}
		have, importErr := j.index.Has(ctx, &e)
		if importErr != nil {
			return added, known, importErr
		}
		if have {
			known++
			continue
		}
		if waiting = append(waiting, e); len(waiting) == importBatch {
			if flushErr := flush(); flushErr != nil {
				return added, known, flushErr
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return added, known, err
	}
	return added, known, flush()
}
