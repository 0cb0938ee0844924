package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/journalfiles"
)

// damagedSuffix follows the name of the journal's folder in the name of the one that keeps damaged files.
const damagedSuffix = "-damaged"

// checkFiles looks after the files of the journal in dir and logs what was wrong with them.
func checkFiles(ctx context.Context, dir string, log zerolog.Logger) error {
	findings, err := journalfiles.Check(ctx, journalfiles.Options{
		Dir:      dir,
		Evidence: filepath.Join(dir+damagedSuffix, time.Now().UTC().Format("20060102T150405.000Z")),
		Vital: func(account, stream, consumer string) bool {
			return account == journalAccount && stream == JournalStream && strings.HasPrefix(consumer, lanePrefix)
		},
	})
	for _, f := range findings {
		logFinding(log, f)
	}
	if broken, ok := errors.AsType[*journalfiles.Error](err); ok {
		return fmt.Errorf("%w; %s", err, wayOut(dir, broken.Finding))
	}
	return err
}

// logFinding says in one line what was wrong, what was done about it and what it means.
func logFinding(log zerolog.Logger, f journalfiles.Finding) {
	level := zerolog.WarnLevel
	var text string
	switch f.Kind {
	case journalfiles.Lost:
		level, text = zerolog.ErrorLevel, lossText(f)
	case journalfiles.Torn:
		level = zerolog.InfoLevel
		text = fmt.Sprintf("journal: the newest write, number %d, is incomplete and was taken out; it was interrupted before it was acknowledged", f.First)
	case journalfiles.Mended:
		text = fmt.Sprintf("journal: a length in the record of number %d was damaged and is mended; nothing is lost", f.First)
	case journalfiles.DeletionLost:
		text = "journal: the note of a deletion is damaged or missing; a message that was deleted may be there again, such as a dead letter that was dealt with"
	case journalfiles.Junk:
		text = "journal: bytes that belong to no message were taken out; nothing is lost"
	case journalfiles.Restored:
		text = "journal: a file was damaged or missing and is restored from its copy; nothing is lost"
	case journalfiles.Unfinished:
		level, text = zerolog.InfoLevel, "journal: a change of settings was interrupted and is undone; it is made anew, and nothing is lost"
	case journalfiles.Rebuilt:
		level, text = zerolog.InfoLevel, "journal: an index is damaged and is made anew; nothing is lost"
	case journalfiles.SettingsAside:
		text = fmt.Sprintf("journal: the settings of %s are damaged and were taken out; who uses it makes them anew and goes on where it was", consumerText(f))
	case journalfiles.CursorAside:
		level = zerolog.ErrorLevel
		text = fmt.Sprintf("journal: the place of %s is damaged and was taken out; who uses it begins where its settings say, and may miss events or get some again", consumerText(f))
	case journalfiles.CursorGone:
		level = zerolog.ErrorLevel
		text = fmt.Sprintf("journal: the place of %s is missing; it begins with what is sent from now on, and relay replay --sink %s --since TIME sends what it missed",
			consumerText(f), strings.TrimPrefix(f.Consumer, lanePrefix))
	case journalfiles.StreamAside:
		text = "journal: the settings of a stream that holds nothing are incomplete; it is made anew"
	case journalfiles.SealIgnored:
		text = "journal: its seal is damaged, or something else than relay has used the folder; it was checked without, which cannot tell whether the newest messages, whole files or a sink's place were changed"
	default:
		text = "journal: damage of an unknown kind"
	}
	line := log.WithLevel(level)
	for _, field := range []struct{ key, value string }{{"stream", f.Stream}, {"file", f.File}, {"kept", f.Kept}} {
		if field.value != "" {
			line = line.Str(field.key, field.value)
		}
	}
	line.Msg(text)
}

func consumerText(f journalfiles.Finding) string {
	if sink, ok := strings.CutPrefix(f.Consumer, lanePrefix); ok && f.Stream == JournalStream {
		return "sink " + sink
	}
	return fmt.Sprintf("consumer %s of stream %s", f.Consumer, f.Stream)
}

// lossText says what is lost, and whether it comes back.
func lossText(f journalfiles.Finding) string {
	what, owner, follows := lossMeaning(f)
	var text strings.Builder
	text.WriteString("journal: ")
	if f.First == f.Last {
		fmt.Fprintf(&text, "1 %s (number %d", what, f.First)
	} else {
		fmt.Fprintf(&text, "up to %d %ss (numbers %d to %d", f.Last-f.First+1, what, f.First, f.Last)
	}
	if owner != "" {
		text.WriteString(", " + owner)
	}
	if !f.Time.IsZero() {
		text.WriteString(", received " + f.Time.Format(time.RFC3339))
	}
	if f.Kept != "" {
		text.WriteString(") damaged and taken out")
	} else {
		text.WriteString(") missing")
	}
	text.WriteString("; " + follows)
	if f.Notes {
		text.WriteString("; what was deleted after them may be there again")
	}
	return text.String()
}

// lossMeaning says what a lost message was, whose, and what follows from the loss.
func lossMeaning(f journalfiles.Finding) (what, owner, follows string) {
	subject := f.Subject
	if f.Last > f.First { // not all of them had it
		subject = ""
	}
	name := func(prefix string) bool {
		var ok bool
		owner, ok = strings.CutPrefix(subject, prefix)
		return ok
	}
	const state = "$KV." + StateBucket + "."
	switch {
	case f.Stream == "KV_"+StateBucket && name(state+sinkKey):
		return "note", "that sink " + owner + " is disabled or down", "what was noted of it before holds again, or it is tried again"
	case f.Stream == "KV_"+StateBucket && name(state+retryKey):
		sink, seq, _ := strings.Cut(owner, ".")
		return "note", "that number " + seq + " is to be tried again for sink " + sink,
			"what was noted of it before holds again; if nothing was and it had stepped aside, relay replay --sink " + sink + " --since TIME sends it"
	case f.Stream == "KV_"+StateBucket && name(state+digestKey):
		return "note", "since when sink " + owner + " is told of missed treats by digests", "what was noted of it before holds again; if nothing was, no digest counts what was missed before now"
	case f.Stream == "KV_"+StateBucket && name(state+historyKey):
		return "note", "what the history of " + owner + " held at first", "what was noted before holds again; if nothing was, the next look counts as the first: treats missed until then are not delivered"
	case f.Stream == "KV_"+StateBucket:
		return "note", "", "what was noted before holds again; where nothing was, a sink that was disabled is tried again, an event that had stepped aside is not sent (relay replay sends it), and for an account without " +
			"its baseline the next look at the history counts as the first"
	case f.Stream == AttemptStream:
		return "note", "", "relay trace does not show these attempts; nothing else follows"
	case f.Stream != JournalStream:
		return "event", "for overlays", "who has not read it yet does not get it; relay replay --sink NAME --since TIME publishes it again"
	case name(journalSubject):
		return "event", "account " + owner, "it is journaled again, and delivered with its old id, if the provider's history still has it"
	case name(deadSubject):
		return "dead letter", "sink " + owner, "relay deadletters does not list it any more; relay replay --sink " + owner + " --since TIME sends its event"
	case name(resendSubject):
		sink, _, _ := strings.Cut(owner, ".")
		return "event", "to be sent again to sink " + sink, "if it was not sent yet, repeat the replay"
	case name(rejectSubject):
		return "payload", "of " + owner + " that was no treat", "nothing follows"
	case name(healSubject):
		return "note", "which missed treats of " + owner + " one digest sums up", "a sink with backfill: digest may be told of them again, in another digest"
	case name(knownSubject):
		return "note", "what the history of " + owner + " held at first", "a treat from before relay's first run may be delivered"
	}
	return "event", "", "what the provider's history still has of them is journaled again, and delivered with its old id"
}

// wayOut says what to do about damage that relay cannot mend.
func wayOut(dir string, f journalfiles.Finding) string {
	folder := filepath.Dir(f.File)
	switch {
	case f.Kind == journalfiles.CursorBroken:
		sink := strings.TrimPrefix(f.Consumer, lanePrefix)
		return fmt.Sprintf("put it back from a backup, or move the folder %s away: sink %s then begins with what is sent from now on, and "+
			"relay replay --sink %s --since TIME sends what it missed", folder, sink, sink)
	case f.Stream == JournalStream:
		return fmt.Sprintf("put it back from a backup, or move the folder %s away: relay then begins with an empty journal, takes what the provider's "+
			"history holds for known, and every sink begins with the next treat", dir)
	case f.Stream == "KV_"+StateBucket:
		return fmt.Sprintf("put it back from a backup, or move the folders %s and %s away: relay then forgets which sinks are disabled and which events are "+
			"to be tried again, and takes what the provider's history holds for known", streamFolder(f), filepath.Join(dir, "copies"))
	}
	return fmt.Sprintf("put it back from a backup, or move %s and %s away: the stream then begins empty, and relay replay --sink NAME --since TIME fills it",
		streamFolder(f), filepath.Join(dir, "copies"))
}

// streamFolder is the folder of the stream that f is about: f.File is its settings, or the folder itself.
func streamFolder(f journalfiles.Finding) string {
	if filepath.Base(f.File) == f.Stream {
		return f.File
	}
	return filepath.Dir(f.File)
}
