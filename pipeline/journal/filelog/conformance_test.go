package filelog

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
	"github.com/treatrelay/relay/pipeline/journal/journaltest"
)

// Segments are small in these tests, so that a log has many, and just large enough to be prepared ahead.
const conformanceSegment = 1 << 20

func TestLogConformance(t *testing.T) {
	journaltest.Log(t, journaltest.LogEngine{
		NewLocation: func(t *testing.T) string { return t.TempDir() },
		Open: func(ctx context.Context, entry string) (journal.Log, error) {
			return Open(ctx, Options{Dir: entry, SegmentSize: conformanceSegment, Log: zerolog.Nop()})
		},
		Reader: func(ctx context.Context, entry string) (journal.Log, error) {
			return OpenReader(ctx, Options{Dir: entry, Log: zerolog.Nop()})
		},
		Largest: frame.MaxBody - 1<<10, InFolder: true,
		Snapshot: snapshotFolder, Damage: damageRecord, CutFrom: cutFrom, Tear: tearEnd, RemovePart: removePart,
	})
}

func snapshotFolder(t *testing.T, entry string) (restore func()) {
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(entry)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(entry); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(entry, os.DirFS(copied)); err != nil {
			t.Fatal(err)
		}
	}
}

// findRecord returns the file of a record, and where its frame begins and ends.
func findRecord(t *testing.T, entry string, record journal.Record) (path string, begin, end int) {
	t.Helper()
	segments, err := segment.List(entry)
	if err != nil {
		t.Fatal(err)
	}
	body := journal.AppendEntry(nil, &record.Entry)
	for _, file := range segments {
		path := filepath.Join(entry, segment.Name(file.First))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(content, body); i >= 0 {
			return path, i - frame.HeaderSize, i + len(body)
		}
	}
	t.Fatalf("no segment holds number %d", record.Number)
	return "", 0, 0
}

func damageRecord(t *testing.T, entry string, record journal.Record) {
	path, begin, end := findRecord(t, entry, record)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := begin + rand.IntN(end-begin)
	content[at] ^= byte(1 + rand.IntN(255))
	t.Logf("number %d: byte %d of %d", record.Number, at-begin, end-begin)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cutFrom(t *testing.T, entry string, record journal.Record) {
	path, begin, end := findRecord(t, entry, record)
	if err := os.Truncate(path, int64(begin+rand.IntN(end-begin))); err != nil {
		t.Fatal(err)
	}
	segments, err := segment.List(entry)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range segments {
		if file.First > record.Number {
			if err := os.Remove(filepath.Join(entry, segment.Name(file.First))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func tearEnd(t *testing.T, entry string) {
	segments, err := segment.List(entry)
	if err != nil {
		t.Fatal(err)
	}
	last := segments[len(segments)-1]
	f, err := disk.OpenFile(filepath.Join(entry, segment.Name(last.First)), os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tail, err := segment.ReadTail(f, last.First, last.Size, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for i := range 3 {
		b = frame.Append(b, tail.Last+1+uint64(i), frame.FlagSynced, &journal.Entry{Kind: journal.Treat, ID: "torn", Data: bytes.Repeat([]byte("x"), 400)})
	}
	if _, err := f.WriteAt(b[:1+rand.IntN(frame.HeaderSize+400)], tail.End); err != nil {
		t.Fatal(err)
	}
}

func removePart(t *testing.T, entry string) journal.Range {
	segments, err := segment.List(entry)
	if err != nil {
		t.Fatal(err)
	}
	if len(segments) < 5 {
		t.Fatalf("only %d segments", len(segments))
	}
	i := 1 + rand.IntN(len(segments)-3)
	if err := os.Remove(filepath.Join(entry, segment.Name(segments[i].First))); err != nil {
		t.Fatal(err)
	}
	return journal.Range{First: segments[i].First, Last: segments[i+1].First - 1}
}
