package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"
)

// The journal's stream and its subjects, beside [resendSubject]. The last token is an account, for dead letters a sink.
const (
	JournalStream  = "RELAY_JOURNAL"
	journalSubject = "relay.journal."
	rejectSubject  = "relay.reject."
	deadSubject    = "relay.dead."
	knownSubject   = "relay.known." // what an account's history held when relay first read it
	healSubject    = "relay.heal."  // which events of an account one healing has journaled, see [healMark]
)

// Headers of a journaled event, beside Nats-Msg-Id, which is its id.
const (
	headerProvider = "Relay-Provider"
	headerOrigin   = "Relay-Origin"
	headerOrdinal  = "Relay-Ordinal"
	headerKnown    = "Relay-Known" // the baseline that holds this treat already, for one that came while that was made
)

// DedupWindow is how long the server remembers an event's id and refuses it a second time.
const DedupWindow = 2 * time.Hour

// JournalConfig configures a [Journal].
type JournalConfig struct {
	// Conn reaches the server that keeps the journal: the embedded one or another. It stays the caller's.
	Conn *nats.Conn
	// Revive makes the server able to write again once the disk is; nil if it is by itself. It is called now and then
	// while writes fail, and returns an error as long as it is of no use.
	Revive func() error
	// Retention is how long events are kept. What no sink has taken by then is lost to that sink.
	Retention time.Duration
	// Trace is told of each stage of each treat, once it has ended. It does not wait, and is called by several goroutines.
	// Nil: nobody is.
	Trace   func(Stage)
	Log     zerolog.Logger
	Metrics *Metrics
}

// Journal is the durable log of events: a JetStream stream whose every acknowledged write is on disk. All methods are safe
// for use by several goroutines.
type Journal struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	state   jetstream.KeyValue
	atomic  bool // the server commits batches
	revive  func() error
	queue   chan entry
	pulse   pulse
	closing sync.Once
	health  health
	trace   func(Stage) // may be nil
	log     zerolog.Logger
	metrics *Metrics
}

// An entry waits to be committed.
type entry struct {
	msg      *nats.Msg
	received time.Time
	account  string
	origin   Origin // empty for a reject
	wrote    func() // called once it is on disk; may be nil
}

// queueSize bounds how many entries wait for the disk. When it is full the sources wait.
const queueSize = 4096

// OpenJournal creates the stream if it is absent, and brings its settings up to date.
func OpenJournal(ctx context.Context, cfg JournalConfig) (*Journal, error) {
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	want := jetstream.StreamConfig{
		Name: JournalStream, Description: "Every treat relay received, in order. Private to relay.",
		Subjects: []string{journalSubject + "*", rejectSubject + "*", deadSubject + "*", resendSubject + "*.*", knownSubject + "*", healSubject + "*"},
		Storage:  jetstream.FileStorage, MaxAge: cfg.Retention, Duplicates: min(DedupWindow, cfg.Retention), Discard: jetstream.DiscardOld,
		AllowDirect: true, AllowAtomicPublish: true,
	}
	stream, err := js.Stream(ctx, JournalStream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = js.CreateStream(ctx, want)
	case err == nil: // what the operator of an external server set, such as replicas, stays
		cfg := stream.CachedInfo().Config
		cfg.Subjects, cfg.MaxAge, cfg.Duplicates = want.Subjects, want.MaxAge, want.Duplicates
		cfg.AllowDirect, cfg.AllowAtomicPublish = true, true
		stream, err = js.UpdateStream(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal, stream %s: %w", JournalStream, err)
	}
	state, err := openState(ctx, js)
	if err != nil {
		return nil, err
	}
	return &Journal{
		nc: cfg.Conn, js: js, state: state,
		// A server older than 2.12 leaves the setting out of its answer, and takes a batch for single messages.
		atomic: stream.CachedInfo().Config.AllowAtomicPublish,
		revive: cfg.Revive, trace: cfg.Trace,
		queue: make(chan entry, queueSize), log: cfg.Log, metrics: cfg.Metrics,
	}, nil
}

// ErrNoJournal says that relay has never kept a journal on that server.
var ErrNoJournal = errors.New("there is no journal yet: it begins when relay first runs")

// AttachJournal opens a journal that exists, with all its settings as they are, for somebody beside the relay that writes
// it: nothing is to be appended to it. The error is an [ErrNoJournal] if there is none.
func AttachJournal(ctx context.Context, conn *nats.Conn) (*Journal, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	stream, err := js.Stream(ctx, JournalStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoJournal
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal, stream %s: %w", JournalStream, err)
	}
	state, err := openState(ctx, js)
	if err != nil {
		return nil, err
	}
	return &Journal{nc: conn, js: js, state: state, atomic: stream.CachedInfo().Config.AllowAtomicPublish, log: zerolog.Nop()}, nil
}

// append hands an event over to be committed, in the order of the calls. It waits while too many are before it.
func (j *Journal) append(ctx context.Context, e *Event, ordinal uint64) error {
	waiting, err := j.newEntry(e, ordinal)
	if err != nil {
		return err
	}
	return j.enqueue(ctx, waiting)
}

// newEntry makes what [Journal.enqueue] takes of an event.
func (j *Journal) newEntry(e *Event, ordinal uint64) (entry, error) {
	line, err := e.Line()
	if err != nil {
		return entry{}, err
	}
	if !j.fits(line) {
		return entry{}, fmt.Errorf("%w: its event of %d bytes is larger than what the journal's server takes", errNotTreat, len(line))
	}
	values := [...]string{e.ID, e.Data.Provider, string(e.Origin), strconv.FormatUint(ordinal, 10)}
	msg := &nats.Msg{Subject: journalSubject + e.Data.Account, Data: line, Header: nats.Header{
		jetstream.MsgIDHeader: values[0:1:1], headerProvider: values[1:2:2], headerOrigin: values[2:3:3], headerOrdinal: values[3:4:4],
	}}
	return entry{msg: msg, received: e.RecordedTime, account: e.Data.Account, origin: e.Origin}, nil
}

// Reject is a payload that could not be a treat, as the journal keeps it.
type Reject struct {
	Account  string    `json:"account"`
	Provider string    `json:"provider"`
	Reason   string    `json:"reason"`
	Received time.Time `json:"received"`
	Size     int       `json:"size"`    // of the payload, in bytes
	Payload  string    `json:"payload"` // its first 256 KiB as received, or less if the server takes less
}

const (
	maxReject = 256 << 10
	headroom  = 4 << 10 // for the headers of a message
)

// fits reports whether the journal's server takes a message of this content.
func (j *Journal) fits(data []byte) bool {
	limit := j.nc.MaxPayload() // 0 before the first connection
	return limit == 0 || int64(len(data))+headroom <= limit
}

func (j *Journal) reject(ctx context.Context, r Reject, payload []byte) error {
	r.Size = len(payload)
	var data []byte
	for keep := min(len(payload), maxReject); ; keep /= 2 { // escaping can make a text six times as long
		r.Payload = string(payload[:keep])
		var err error
		if data, err = EncodeJSON(r); err != nil {
			return fmt.Errorf("encode a reject: %w", err)
		}
		if keep == 0 || j.fits(data) {
			break
		}
	}
	msg := nats.NewMsg(rejectSubject + r.Account)
	msg.Data = data
	msg.Header.Set(jetstream.MsgIDHeader, "rej_"+nuid.Next()) // for the retry of an unclear write
	return j.enqueue(ctx, entry{msg: msg, received: r.Received, account: r.Account})
}

func (j *Journal) enqueue(ctx context.Context, e entry) error {
	select {
	case j.queue <- e:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal a treat of %s: %w", e.account, context.Cause(ctx))
	}
}

// Close says that nothing more will be appended: [Journal.Run] commits what waits and returns. Appending afterwards is a
// mistake of the program.
func (j *Journal) Close() { j.closing.Do(func() { close(j.queue) }) }

// lastSeq is the sequence number of the account's newest event, 0 if there is none.
func (j *Journal) lastSeq(ctx context.Context, account string) (uint64, error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return 0, fmt.Errorf("look into the journal: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, journalSubject+account)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the newest event of %s in the journal: %w", account, err)
	}
	return msg.Sequence, nil
}

// get returns one message of the journal, or [jetstream.ErrMsgNotFound].
func (j *Journal) get(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return nil, fmt.Errorf("look into the journal: %w", err)
	}
	msg, err := stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("read number %d of the journal: %w", seq, err)
	}
	return msg, nil
}

// holds reports whether the stream has a message of that number, by the word of the one server that leads it: the others, which answer
// [Journal.get] as well, may lag behind.
func (j *Journal) holds(ctx context.Context, seq uint64) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commitTimeout, errCommitTimeout)
	defer cancel()
	msg, err := j.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+JournalStream, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err != nil {
		return false, fmt.Errorf("look for number %d in the journal: %w", seq, causeOf(ctx, err))
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, fmt.Errorf("look for number %d in the journal: %w", seq, err)
	}
	switch {
	case answer.Error == nil:
		return true, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return false, nil
	}
	return false, fmt.Errorf("look for number %d in the journal: %w", seq, answer.Error)
}

// read hands the account's events to visit, oldest first: those after sequence number from, or, if that is 0, those
// journaled since the given time, up to the newest at the time of the call.
func (j *Journal) read(ctx context.Context, account string, from uint64, since time.Time, visit func(seq uint64, h nats.Header, line []byte) error) error {
	last, err := j.lastSeq(ctx, account)
	if err != nil || last <= from {
		return err
	}
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{journalSubject + account}}
	if from > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from+1
	} else {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	for msg, err := range j.scan(ctx, JournalStream, cfg) {
		if err != nil {
			return fmt.Errorf("read the journal of %s: %w", account, err)
		}
		if err := visit(msg.Seq, msg.Header, msg.Data); err != nil {
			return err
		}
	}
	return nil
}
