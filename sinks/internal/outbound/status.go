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

// maxStatusLine is how many bytes of a line are kept: more than the version and the status.
const maxStatusLine = 16

// statusConn parses the status line of each HTTP/1 response in parallel with the client. If the client cannot read the
// rest of a response, because its header is too large or malformed or the connection ends, the status still tells
// whether the receiver accepted the request.
type statusConn struct {
	net.Conn

	mu     sync.Mutex
	line   []byte // the beginning of the current line
	length int    // of the whole line
	header bool   // the line belongs to a header
	status int    // of the response; 0 if not known yet
	broken bool   // the data is not a response
	ended  bool   // the header of the response has ended
	behind int64  // bytes received behind the header
	body   int64  // length of the body; negative if unknown
	spoilt bool   // more data than the response came: do not reuse the connection
}

// errSpoilt makes the client use another connection.
var errSpoilt = errors.New("the receiver has sent more than its answer")

// begin resets the state for the next request.
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

// scan parses one byte of a response. The caller holds the lock.
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
	case status < 200: // another response follows (RFC 9110, section 15.2)
		c.header = true
	default:
		c.status, c.header = status, true
	}
}

// parseStatusLine returns the status from the beginning of a status line (RFC 9112, section 4), or 0.
func parseStatusLine(line string) int {
	version, rest, _ := strings.Cut(line, " ")
	digits, _, _ := strings.Cut(strings.TrimRight(rest, "\r"), " ")
	status, err := strconv.Atoi(digits)
	if !strings.HasPrefix(version, "HTTP/1.") || err != nil || len(digits) != 3 || status < 100 {
		return 0
	}
	return status
}

// Trace observes one request.
type Trace struct {
	wrote atomic.Bool // the whole request was written
	conn  atomic.Pointer[statusConn]
}

// Follow returns a context; t observes the request that is sent with it.
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

// Status returns the status of a response that the client could not read, or 0.
func (t *Trace) Status() int {
	conn := t.conn.Load()
	if conn == nil {
		return 0
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	return conn.status
}

// Answered records that the client has read the header of the response.
func (t *Trace) Answered(resp *http.Response) {
	if conn := t.conn.Load(); conn != nil {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		conn.body = resp.ContentLength
	}
}

// Mark marks the error of a request without a response for the lane: the receiver may have failed because of a request
// that it received completely.
func (t *Trace) Mark(err error) error {
	if t.wrote.Load() {
		return pipeline.Unanswered(err)
	}
	return pipeline.Unavailable(err)
}
