package jetstream

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/journaltest"
)

// A place is the URL of a server.

func newPlace(servers map[string]*natstest.Server) func(t *testing.T) string {
	return func(t *testing.T) string {
		p := natstest.StartProgram(t, natsServer)
		servers[p.URL()] = p
		return p.URL()
	}
}

// ownConn closes the connection with the log or the state that it is for.
type ownConn struct {
	nc    *nats.Conn
	other func() error
}

func (c ownConn) close(err error) error {
	err = errors.Join(err, c.other())
	c.nc.Close()
	return err
}

type connLog struct {
	journal.Log
	conn ownConn
}

func (l connLog) Close() error { return l.conn.close(l.Log.Close()) }

type connState struct {
	journal.State
	conn ownConn
}

func (s connState) Close() error { return s.conn.close(s.State.Close()) }

type opener func(context.Context, Options) (*Log, *State, error)

func (open opener) at(ctx context.Context, place string) (*nats.Conn, *Log, *State, error) {
	nc, err := nats.Connect(place, append(ConnOptions(), nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		return nil, nil, nil, err
	}
	log, state, err := open(ctx, Options{Conn: nc, Log: zerolog.Nop()})
	if err != nil {
		nc.Close()
	}
	return nc, log, state, err
}

func (open opener) log(ctx context.Context, place string) (journal.Log, error) {
	nc, log, state, err := open.at(ctx, place)
	if err != nil {
		return nil, err
	}
	return connLog{log, ownConn{nc, state.Close}}, nil
}

func (open opener) state(ctx context.Context, place string) (journal.State, error) {
	nc, log, state, err := open.at(ctx, place)
	if err != nil {
		return nil, err
	}
	return connState{state, ownConn{nc, log.Close}}, nil
}

// changeFile stops the server, lets change the file that holds some data, and starts it again.
func changeFile(t *testing.T, p *natstest.Server, data []byte, change func(content []byte, at int) []byte) {
	t.Helper()
	p.Stop()
	defer p.Restart()
	blocks, err := filepath.Glob(filepath.Join(p.Dir(), "jetstream", "*", "streams", StreamName, "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		stored, err := os.ReadFile(block)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(stored, data); i >= 0 {
			if err := os.WriteFile(block, change(stored, i), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the record is in no file")
}

func TestConformance(t *testing.T) {
	servers := make(map[string]*natstest.Server)
	t.Run("log", func(t *testing.T) {
		journaltest.Log(t, journaltest.LogEngine{
			NewLocation: newPlace(servers), Open: opener(Open).log, Reader: opener(Attach).log, ReaderAppends: true, Largest: 1<<20 - 4096,
			Damage: func(t *testing.T, place string, record journal.Record) {
				changeFile(t, servers[place], record.Data, func(content []byte, at int) []byte {
					content[at+len(record.Data)/2] ^= 0x10
					return content
				})
			},
			CutFrom: func(t *testing.T, place string, record journal.Record) {
				changeFile(t, servers[place], record.Data, func(content []byte, at int) []byte { return content[:at+len(record.Data)/2] })
			},
			Tear: func(t *testing.T, place string) {
				changeFile(t, servers[place], nil, func(content []byte, _ int) []byte { return append(content, content[:100]...) })
			},
			Snapshot: func(t *testing.T, place string) func() {
				p := servers[place]
				p.Stop()
				dir := copyStore(t, p)
				p.Restart()
				return func() {
					p.Stop()
					restoreStore(t, p, dir)
					p.Restart()
				}
			},
		})
	})
	t.Run("state", func(t *testing.T) {
		journaltest.State(t, journaltest.StateEngine{NewLocation: newPlace(servers), Open: opener(Open).state})
	})
}
