package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

const (
	// StreamName is the stream of the log.
	StreamName = "RELAY_JOURNAL"
	// Bucket is the key-value bucket of the state.
	Bucket = "RELAY_STATE"

	subjects     = "relay.journal.*.*" // shard and account
	bucketStream = "KV_" + Bucket
	bucketPrefix = "$KV." + Bucket + "."
	// dedupTime is how long the server itself rejects duplicates.
	dedupTime = 2 * time.Minute
)

// JetStream error codes that nats.go does not define.
const (
	codeNoPeers         natsjs.ErrorCode = 10005
	codeNoResources     natsjs.ErrorCode = 10023
	codeNoStorage       natsjs.ErrorCode = 10047
	codeNotClustered    natsjs.ErrorCode = 10074
	codeBatchDuplicate  natsjs.ErrorCode = 10201
	codeMaximumReplicas natsjs.ErrorCode = 10133
)

// ErrFormerJournal means that the server has a stream of the same name that is not this version's.
var ErrFormerJournal = errors.New("stream " + StreamName + " is that of a former version of relay, or of something else: " +
	"delete it (nats stream rm " + StreamName + "), or give relay another account or server in journal.nats_url")

// streamInfo is the server's answer about a stream. It is paged by the requested subjects.
type streamInfo struct {
	natsjs.StreamInfo
	Total int `json:"total"`
}

// info asks the leader of a stream.
func (c *client) info(ctx context.Context, stream string, request map[string]any) (*streamInfo, error) {
	var info streamInfo
	if err := c.api(ctx, "STREAM.INFO."+stream, request, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

func noStream(err error) bool { return refusedWith(err, natsjs.JSErrCodeStreamNotFound) }

// clustered reports whether the stream's server is part of a cluster.
func (s *streamInfo) clustered() bool { return s.Cluster != nil && s.Cluster.Name != "" }

// quorum reports whether the answer comes from a leader with a majority. A leader that is cut off may not know the
// latest writes.
func (s *streamInfo) quorum() bool {
	if s.Config.Replicas <= 1 || s.Cluster == nil {
		return true
	}
	n := 1
	for _, r := range s.Cluster.Replicas {
		if r.Current && !r.Offline {
			n++
		}
	}
	return n > s.Config.Replicas/2
}

// limited reports whether the stream drops records for another reason than age.
func (s *streamInfo) limited() bool { return s.Config.MaxBytes > 0 || s.Config.MaxMsgs > 0 }

func journalConfig(retention time.Duration) natsjs.StreamConfig {
	dedup := dedupTime
	if retention > 0 {
		dedup = min(dedup, retention)
	}
	return natsjs.StreamConfig{
		Name: StreamName, Description: "Every treat relay received, in order. Private to relay.", Subjects: []string{subjects},
		Storage: natsjs.FileStorage, MaxAge: retention, Duplicates: dedup, Discard: natsjs.DiscardOld, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1,
		MaxMsgsPerSubject: -1, MaxConsumers: -1, AllowDirect: true, AllowAtomicPublish: true,
	}
}

// stateConfig configures a key-value bucket with one revision per key. Reads go to the leader, so that they see all
// earlier writes.
func stateConfig() natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name: bucketStream, Description: "What relay must know after a restart.", Subjects: []string{bucketPrefix + ">"},
		Storage: natsjs.FileStorage, Duplicates: dedupTime, Discard: natsjs.DiscardNew, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1,
		MaxMsgsPerSubject: 1, MaxConsumers: -1, AllowRollup: true, DenyDelete: true,
	}
}

// ensure creates the stream, or updates the settings that relay needs and leaves the rest to the operator. wanted is
// the number of replicas; 0: a sensible number.
func (c *client) ensure(ctx context.Context, want natsjs.StreamConfig, wanted int) (*streamInfo, error) {
	info, err := c.info(ctx, want.Name, nil)
	if noStream(err) {
		return c.create(ctx, want, wanted)
	}
	if err != nil {
		return nil, err
	}
	cfg := info.Config
	if want.Name == StreamName && !slices.Equal(cfg.Subjects, want.Subjects) {
		return nil, ErrFormerJournal
	}
	before := cfg
	cfg.MaxAge, cfg.Duplicates, cfg.AllowDirect = want.MaxAge, want.Duplicates, want.AllowDirect
	cfg.AllowAtomicPublish = want.AllowAtomicPublish
	if cfg.MaxAge != before.MaxAge || cfg.Duplicates != before.Duplicates || cfg.AllowDirect != before.AllowDirect || cfg.AllowAtomicPublish != before.AllowAtomicPublish {
		if info, err = c.update(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return c.replicate(ctx, info, wanted)
}

func (c *client) update(ctx context.Context, cfg natsjs.StreamConfig) (*streamInfo, error) {
	var info streamInfo
	if err := c.api(ctx, "STREAM.UPDATE."+cfg.Name, cfg, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// sensibleReplicas is the number of replicas if none is configured.
const sensibleReplicas = 3

// create creates the stream with as many of the wanted replicas as possible.
func (c *client) create(ctx context.Context, cfg natsjs.StreamConfig, wanted int) (*streamInfo, error) {
	tries := []int{wanted}
	if wanted == 0 {
		tries[0] = sensibleReplicas
	}
	for _, n := range []int{3, 1} {
		if n < tries[0] {
			tries = append(tries, n)
		}
	}
	var refused error
	for _, n := range tries {
		cfg.Replicas = n
		var info streamInfo
		err := c.api(ctx, "STREAM.CREATE."+cfg.Name, cfg, &info)
		switch {
		case err == nil:
			c.logReplicas(&info, wanted, refused)
			return &info, nil
		case !tooManyReplicas(err):
			return nil, err
		}
		refused = err
	}
	return nil, refused
}

func tooManyReplicas(err error) bool {
	return refusedWith(err, codeNoPeers, codeNoResources, codeNoStorage, codeNotClustered, codeMaximumReplicas)
}

// replicate changes the replicas of an existing stream towards the wanted number.
func (c *client) replicate(ctx context.Context, info *streamInfo, wanted int) (*streamInfo, error) {
	n := wanted
	if wanted == 0 {
		n = max(sensibleReplicas, info.Config.Replicas)
	}
	if n == info.Config.Replicas {
		return info, nil
	}
	var refused error
	if info.clustered() {
		cfg := info.Config
		cfg.Replicas = n
		updated, err := c.update(ctx, cfg)
		if err == nil {
			info = updated
		} else if !tooManyReplicas(err) {
			return nil, err
		}
		refused = err
	}
	c.logReplicas(info, wanted, refused)
	return info, nil
}

// logReplicas logs the number of replicas where that matters.
func (c *client) logReplicas(info *streamInfo, wanted int, refused error) {
	got, log := info.Config.Replicas, c.log.With().Str("stream", info.Config.Name).Int("replicas", info.Config.Replicas).Logger()
	switch {
	case wanted > got:
		log.Warn().Int("wanted", wanted).AnErr("refused", refused).Msg("journal's server cannot keep as many replicas as journal.replicas says; it keeps fewer")
	case got == 1 && info.clustered():
		log.Warn().AnErr("refused", refused).Msg("the journal is on one node of the cluster: while it is away, nothing is written or delivered. " +
			"With journal.replicas: 3, which takes three nodes with JetStream, it would continue")
	case info.clustered():
		log.Info().Msg("the journal is replicated: it continues while a minority of its nodes is away")
	}
}

// get returns the message of this sequence or, if next is set, the first one from it on, from the stream's leader. If
// there is none, the error is a refusal with [natsjs.JSErrCodeMessageNotFound].
func (c *client) get(ctx context.Context, sequence uint64, next bool) (*natsjs.RawStreamMsg, error) {
	request := map[string]any{"seq": sequence}
	if next {
		request["next_by_subj"] = ">"
	}
	return c.message(ctx, StreamName, request)
}

// storedMsg is a message in the API.
type storedMsg struct {
	Message struct {
		Subject  string    `json:"subject"`
		Sequence uint64    `json:"seq"`
		Header   []byte    `json:"hdrs"`
		Data     []byte    `json:"data"`
		Time     time.Time `json:"time"`
	} `json:"message"`
}

func (s *storedMsg) decode() (*natsjs.RawStreamMsg, error) {
	m := &natsjs.RawStreamMsg{Subject: s.Message.Subject, Sequence: s.Message.Sequence, Data: s.Message.Data, Time: s.Message.Time}
	if len(s.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(s.Message.Header)
		if err != nil {
			return nil, fmt.Errorf("read the headers of message %d: %w", m.Sequence, err)
		}
		m.Header = h
	}
	return m, nil
}

func (c *client) message(ctx context.Context, stream string, request map[string]any) (*natsjs.RawStreamMsg, error) {
	var got storedMsg
	if err := c.api(ctx, "STREAM.MSG.GET."+stream, request, &got); err != nil {
		return nil, err
	}
	return got.decode()
}

func notFound(err error) bool { return refusedWith(err, natsjs.JSErrCodeMessageNotFound) }

// checkServer checks that the server can keep a journal.
func checkServer(nc *nats.Conn) error {
	if !nc.HeadersSupported() {
		return errors.New("its messages have no headers")
	}
	version := nc.ConnectedServerVersion()
	var major, minor int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor); err == nil && (major < 2 || major == 2 && minor < 11) {
		return fmt.Errorf("nats-server %s is too old: relay needs 2.11 or newer, and is faster with 2.12", version)
	}
	return nil
}
