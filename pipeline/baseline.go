package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// historyKey begins the keys of the baselines in [StateBucket].
const historyKey = "history."

// A baseline is what an account's history held when relay first read it: treats that are never delivered from there. It counts
// once it is in [StateBucket]; its treats are in the journal's stream before that, and are dropped together with the events
// of their time.
type baseline struct {
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Known   int       `json:"known"`   // how many treats it has
	Records int       `json:"records"` // in how many records
	// Retention is the journal's, as it was when last looked at, and Floor the time before which a journal that was kept for a
	// shorter time has dropped events that the history may still hold.
	Retention time.Duration `json:"retention"`
	Floor     time.Time     `json:"floor,omitzero"`
}

// baseline returns that of an account, or nil if there is none yet.
func (j *Journal) baseline(ctx context.Context, account string) (*baseline, error) {
	entry, err := j.state.Get(ctx, historyKey+account)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil //nolint:nilnil // there is none
	}
	var b baseline
	if err == nil {
		err = json.Unmarshal(entry.Value(), &b)
	}
	if err != nil {
		return nil, fmt.Errorf("read the baseline of %s: %w", account, err)
	}
	return &b, nil
}

// newBaseline makes one without treats.
func newBaseline(retention time.Duration) *baseline {
	return &baseline{ID: nuid.Next(), Made: time.Now().UTC(), Retention: retention}
}

func (j *Journal) putBaseline(ctx context.Context, account string, b *baseline) error {
	data, err := EncodeJSON(b)
	if err == nil {
		_, err = j.state.Put(ctx, historyKey+account, data)
	}
	if err != nil {
		return fmt.Errorf("keep the baseline of %s: %w", account, err)
	}
	return nil
}

// A record of the baseline is the hash of a content, the seconds of its date, whether that names a zone, and how many there are.
const (
	recordSize  = 16 + 8 + 1 + 4
	recordBatch = 4096 // in one message
)

// writeKnown makes the treats of a baseline durable, and then the baseline itself, with which they count.
func (j *Journal) writeKnown(ctx context.Context, account string, b *baseline, treats []past) error {
	b.Known, b.Records = len(treats), 0
	counts := make(map[mark]uint32, len(treats))
	for i := range treats {
		counts[treats[i].mark]++
	}
	var data []byte
	flush := func() error {
		msg := nats.NewMsg(knownSubject + account)
		msg.Data = data
		msg.Header.Set(headerKnown, b.ID)
		msg.Header.Set(jetstream.MsgIDHeader, b.ID+"_"+strconv.Itoa(b.Records))
		if _, err := j.publish(ctx, msg); err != nil {
			return fmt.Errorf("journal the baseline of %s: %w", account, err)
		}
		b.Records += len(data) / recordSize
		data = nil
		return nil
	}
	for i := range treats {
		t := &treats[i]
		if counts[t.mark] == 0 {
			continue
		}
		data = append(data, t.content[:]...)
		data = binary.BigEndian.AppendUint64(data, uint64(t.when.at.Unix())) //nolint:gosec // dates are from 2000 on
		zoned := byte(1)
		if t.when.floating {
			zoned = 0
		}
		data = append(data, zoned)
		data = binary.BigEndian.AppendUint32(data, counts[t.mark])
		counts[t.mark] = 0
		if len(data) == recordBatch*recordSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(data) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	return j.putBaseline(ctx, account, b)
}

// readKnown hands the treats of a baseline to visit, and returns how many records it has found.
func (j *Journal) readKnown(ctx context.Context, account string, b *baseline, visit func(t trace, n int)) (records int, err error) {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{knownSubject + account}}
	for msg, err := range j.scan(ctx, JournalStream, cfg) {
		if err != nil {
			return 0, fmt.Errorf("read the baseline of %s: %w", account, err)
		}
		if msg.Header.Get(headerKnown) != b.ID {
			continue
		}
		for data := msg.Data; len(data) >= recordSize; data = data[recordSize:] {
			t := trace{content: [16]byte(data[:16])}
			t.when.at = time.Unix(int64(binary.BigEndian.Uint64(data[16:])), 0).UTC() //nolint:gosec // as it was written
			t.when.floating = data[24] == 0
			visit(t, int(binary.BigEndian.Uint32(data[25:])))
			records++
		}
	}
	return records, nil
}

// span returns from when on the journal holds every event that it took, apart from those of a time when it was kept for less.
func (j *Journal) span(ctx context.Context, now time.Time) (since time.Time, retention time.Duration, err error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return since, 0, fmt.Errorf("look into the journal: %w", err)
	}
	info := stream.CachedInfo()
	since = reach(now, info.Config.MaxAge)
	bounded := info.Config.MaxBytes > 0 || info.Config.MaxMsgs > 0 || info.Config.MaxMsgsPerSubject > 0
	if bounded && info.State.FirstSeq > 1 && info.State.FirstTime.After(since) { // the operator of the server set it so
		since = info.State.FirstTime
	}
	return since, info.Config.MaxAge, nil
}

// reach is how far back a journal that is kept for the given time is compared: a seventh of it is left out, 5 of 35 days, for the
// date of a treat is not the time of its receipt.
func reach(now time.Time, retention time.Duration) time.Time {
	if retention <= 0 {
		return time.Time{}
	}
	return now.Add(-retention + retention/7)
}
