package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/treatrelay/relay/pipeline"
)

// maxStatusLine is what is kept of a line of an answer: more than the version and the status.
const maxStatusLine = 16

// statusConn reads the status line of each HTTP/1 answer along with the client. When the client cannot read the rest of an answer, for its header
// is too large or malformed, or the connection ends in it, the status still says whether the receiver has accepted the request.
type statusConn struct {
	net.Conn

	mu     sync.Mutex
	line   []byte // the beginning of the line under way
	length int    // of all of it
	header bool   // it is one of the header of an interim answer
	status int    // of the answer; 0: not known yet
	broken bool   // what came is no answer
	ended  bool   // so has the header of the answer
	behind int64  // how many octets came behind that
	body   int64  // the length of the body; negative: not known
	spoilt bool   // more came than belongs to the answer: the connection is of no more use
}

// errSpoilt makes the client take another connection.
var errSpoilt = errors.New("the receiver has sent more than its answer")

// begin says that another request is sent.
func (c *statusConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoilt = c.spoilt || c.ended && c.body >= 0 && c.behind > c.body
	c.line, c.length, c.header, c.status, c.broken, c.ended, c.behind, c.body = c.line[:0], 0, false, 0, false, false, 0, -1
}

// Write implements [net.Conn].
func (c *statusConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	spoilt := c.spoilt
	c.mu.Unlock()
	if spoilt {
		return 0, errSpoilt
	}
	return c.Conn.Write(b)
}

// Read implements [net.Conn].
func (c *statusConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, octet := range b[:n] {
		if c.ended {
			c.behind += int64(n - i)
			break
		}
		if c.broken {
			break
		}
		c.scan(octet)
	}
	return n, err
}

// scan takes one octet of an answer, with the lock held.
func (c *statusConn) scan(octet byte) {
	if octet != '\n' {
		if c.length++; len(c.line) < maxStatusLine {
			c.line = append(c.line, octet)
		}
		return
	}
	line, empty := string(c.line), c.length == 0 || c.length == 1 && c.line[0] == '\r'
	c.line, c.length = c.line[:0], 0
	if c.header {
		c.header = !empty
		c.ended = empty && c.status != 0
		return
	}
	status := parseStatusLine(line)
	switch {
	case status == 0:
		c.broken = true
	case status < 200: // another answer follows (RFC 9110, section 15.2)
		c.header = true
	default:
		c.status, c.header = status, true
	}
}

// parseStatusLine returns the status in the beginning of a status line (RFC 9112, section 4), or 0.
func parseStatusLine(line string) int {
	version, rest, _ := strings.Cut(line, " ")
	digits, _, _ := strings.Cut(strings.TrimRight(rest, "\r"), " ")
	status, err := strconv.Atoi(digits)
	if !strings.HasPrefix(version, "HTTP/1.") || err != nil || len(digits) != 3 || status < 100 {
		return 0
	}
	return status
}

// Trace follows one request.
type Trace struct {
	wrote atomic.Bool // all of it is written
	conn  atomic.Pointer[statusConn]
}

// Follow traces a request that is made with the returned context.
func (t *Trace) Follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			t.wrote.Store(false)
			conn, _ := info.Conn.(*statusConn)
			if conn != nil {
				conn.begin()
			}
			t.conn.Store(conn)
		},
		WroteRequest: func(w httptrace.WroteRequestInfo) { t.wrote.Store(w.Err == nil) },
	})
}

// Status is that of an answer of which the client could not read more, or 0.
func (t *Trace) Status() int {
	conn := t.conn.Load()
	if conn == nil {
		return 0
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	return conn.status
}

// Answered says that the client has read the header of the answer.
func (t *Trace) Answered(resp *http.Response) {
	if conn := t.conn.Load(); conn != nil {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		conn.body = resp.ContentLength
	}
}

// Mark marks the error of a request without an answer: the receiver may have broken on a request that it got whole.
func (t *Trace) Mark(err error) error {
	if t.wrote.Load() {
		return pipeline.Unanswered(err)
	}
	return pipeline.Unavailable(err)
}
