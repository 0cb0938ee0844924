package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/pipeline/journal"
)

// State is a [journal.State] in a key-value bucket of a JetStream server. Other clients may use the bucket too. Its
// methods are safe for concurrent use.
type State struct {
	client   *client
	replicas int
	attached bool

	mu     sync.Mutex
	epochs []byte // the log's table; written again when the bucket is recreated
	single bool   // the bucket has one replica
}

// kvOperation is the header that marks a key as deleted.
const kvOperation = "KV-Operation"

// checkKey checks that a key is valid and not reserved for the log.
func checkKey(key string) error {
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return fmt.Errorf("%q is no key of the state", key)
		}
	}
	if key == "" || strings.HasPrefix(key, ".") || strings.HasSuffix(key, ".") || strings.Contains(key, "..") {
		return fmt.Errorf("%q is no key of the state", key)
	}
	return nil
}

// Get implements [journal.State].
func (s *State) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	value, revision, err = s.get(ctx, key)
	if err != nil {
		return nil, 0, s.fail("read", key, err)
	}
	return value, revision, nil
}

func (s *State) fail(what, key string, err error) error {
	if errors.Is(err, journal.ErrNoKey) || errors.Is(err, journal.ErrRevision) {
		return fmt.Errorf("%s %s of the journal's state: %w", what, key, err)
	}
	return s.client.fail(fmt.Sprintf("%s %s of the journal's state", what, key), err)
}

func (s *State) get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	msg, err := s.last(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	if deleted(msg.Header) {
		return nil, 0, journal.ErrNoKey
	}
	return msg.Data, msg.Sequence, nil
}

// deleted reports whether a message marks its key as deleted.
func deleted(h nats.Header) bool { return h.Get(kvOperation) != "" }

// last returns the message of a key.
func (s *State) last(ctx context.Context, key string) (*natsjs.RawStreamMsg, error) {
	msg, err := s.client.message(ctx, bucketStream, map[string]any{"last_by_subj": bucketPrefix + key})
	if notFound(err) || noStream(err) {
		return nil, journal.ErrNoKey
	}
	return msg, err
}

// Put implements [journal.State]. It creates the bucket again if it is gone from the server.
func (s *State) Put(ctx context.Context, key string, value []byte, expected uint64) (revision uint64, err error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	revision, err = s.put(ctx, key, value, expected)
	if err != nil {
		return 0, s.fail("write", key, err)
	}
	return revision, nil
}

func (s *State) put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	revision, err := s.publish(ctx, key, value, expected)
	if errors.Is(err, errNoResponders) || errors.Is(err, errNoAnswer) { // if the bucket is gone, only a watch may be listening, or nobody
		if gone := s.restore(ctx, err); gone != nil {
			return 0, gone
		}
		revision, err = s.publish(ctx, key, value, expected)
	}
	if !wrongRevision(err) {
		return revision, err
	}
	if expected == 0 { // a client may have left a delete marker
		msg, err := s.last(ctx, key)
		if err == nil && deleted(msg.Header) {
			if revision, err = s.publish(ctx, key, value, msg.Sequence); !wrongRevision(err) {
				return revision, err
			}
		}
	}
	return 0, journal.ErrRevision
}

func wrongRevision(err error) bool {
	return refusedWith(err, natsjs.JSErrCodeStreamWrongLastSequence, natsjs.JSErrCodeStreamWrongLastSequenceConstant)
}

func (s *State) publish(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	msg := &nats.Msg{Subject: bucketPrefix + key, Data: value}
	if expected != journal.AnyRevision {
		msg.Header = nats.Header{natsjs.ExpectedLastSubjSeqHeader: {strconv.FormatUint(expected, 10)}}
	}
	answer, err := s.client.request(ctx, msg)
	if err != nil {
		return 0, err
	}
	var ack pubAck
	if err := readAnswer(answer, &ack); err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// restore creates the bucket again if it is gone. Otherwise it returns the reason of a failure.
func (s *State) restore(ctx context.Context, reason error) error {
	if _, err := s.client.info(ctx, bucketStream, nil); !noStream(err) {
		return reason
	}
	if s.attached {
		return journal.ErrNoJournal
	}
	s.client.log.Error().Str("bucket", Bucket).Str("server", s.client.name()).Msg("the bucket of the journal's state is gone from the server; it is created again")
	info, err := s.client.ensure(ctx, stateConfig(), s.replicas)
	if err != nil {
		return err
	}
	s.mu.Lock()
	epochs := s.epochs
	s.single = info.Config.Replicas == 1
	s.mu.Unlock()
	if epochs != nil {
		_, err := s.publish(ctx, epochsKey, epochs, journal.AnyRevision)
		return err
	}
	return nil
}

// Delete implements [journal.State]. It leaves nothing of the key in the bucket.
func (s *State) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := s.client.api(ctx, "STREAM.PURGE."+bucketStream, natsjs.StreamPurgeRequest{Subject: bucketPrefix + key}, nil)
	if err != nil && !noStream(err) {
		return s.fail("delete", key, err)
	}
	return nil
}

// listMax bounds the values requested at a time.
const listMax = 256

// List implements [journal.State].
func (s *State) List(ctx context.Context, prefix string, visit func(key string, value []byte) error) error {
	keys, err := s.keys(ctx, prefix)
	if err != nil {
		return s.fail("list", prefix+"*", err)
	}
	for batch := range slices.Chunk(keys, listMax) {
		values, err := s.values(ctx, batch)
		if err != nil {
			return s.fail("list", prefix+"*", err)
		}
		for i, key := range batch {
			if values[i] == nil {
				continue // just deleted
			}
			if err := visit(key, values[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys returns the keys with a prefix in order, from the bucket's leader.
func (s *State) keys(ctx context.Context, prefix string) ([]string, error) {
	filter := bucketPrefix + ">"
	if i := strings.LastIndexByte(prefix, '.'); i >= 0 {
		filter = bucketPrefix + prefix[:i+1] + ">"
	}
	seen := make(map[string]bool)
	for offset := 0; ; {
		info, err := s.client.info(ctx, bucketStream, map[string]any{"subjects_filter": filter, "offset": offset})
		if noStream(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for subject := range info.State.Subjects {
			key := strings.TrimPrefix(subject, bucketPrefix)
			if strings.HasPrefix(key, prefix) && checkKey(key) == nil {
				seen[key] = true
			}
		}
		offset += len(info.State.Subjects)
		if len(info.State.Subjects) == 0 || offset >= info.Total {
			break
		}
	}
	keys := make([]string, 0, len(seen))
	for key := range seen {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, nil
}

// values returns the values of the keys; nil for a missing one.
func (s *State) values(ctx context.Context, keys []string) ([][]byte, error) {
	msgs := make([]*nats.Msg, len(keys))
	for i, key := range keys {
		msgs[i] = &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + bucketStream, Data: []byte(`{"last_by_subj":"` + bucketPrefix + key + `"}`)}
	}
	values := make([][]byte, len(keys))
	err := s.client.ask(ctx, msgs, func(i int, answer *nats.Msg) error {
		var got storedMsg
		err := readAnswer(answer, &got)
		if notFound(err) || noStream(err) {
			return nil
		}
		if err != nil {
			return err
		}
		msg, err := got.decode()
		if err != nil || deleted(msg.Header) {
			return err
		}
		values[i] = append([]byte{}, msg.Data...) // not nil, even if empty
		return nil
	})
	return values, err
}

// Close implements [journal.State]. The connection stays open.
func (s *State) Close() error { return nil }

// singleReplica reports whether the bucket has one replica.
func (s *State) singleReplica() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.single
}
