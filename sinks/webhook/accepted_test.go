package webhook_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// TestWebhookStatusDecides checks that the status decides, whatever is wrong with the rest of the response: an accepted
// event is not sent twice.
func TestWebhookStatusDecides(t *testing.T) {
	config, ca := sinktest.Certificate(t)
	wide := "X-Wide: " + strings.Repeat("x", 8000) + "\r\n"
	for name, c := range map[string]struct {
		answer string
		keep   bool
		want   string
	}{
		"100 KiB of header":       {"HTTP/1.1 200 OK\r\n" + strings.Repeat(wide, 13) + "Content-Length: 0\r\n\r\n", true, "accepted"},
		"2 MiB of header":         {"HTTP/1.1 200 OK\r\n" + strings.Repeat(wide, 260) + "\r\n", false, "accepted"},
		"2 MiB after a refusal":   {"HTTP/1.1 404 Not Found\r\n" + strings.Repeat(wide, 260) + "\r\n", false, "denied"},
		"cut behind the status":   {"HTTP/1.1 200 OK\r\n", false, "accepted"},
		"cut in the header":       {"HTTP/1.1 202\r\nContent-Le", false, "accepted"},
		"cut behind a 500":        {"HTTP/1.1 500 Sorry\r\nX", false, "retry"},
		"cut in the body":         {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", false, "accepted"},
		"cut in a chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nok", false, "accepted"},
		"no chunk":                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok", false, "accepted"},
		"no such encoding":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: planted\r\n\r\nok", false, "accepted"},
		"two lengths":             {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", false, "accepted"},
		"no length":               {"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nok", false, "accepted"},
		"no header":               {"HTTP/1.1 200 OK\r\nWarning in line 7 of bot.php\r\n\r\nok", false, "accepted"},
		"not packed":              {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", true, "accepted"},
		"early hints":             {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nX", false, "accepted"},
		"nothing but early hints": {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", false, "unavailable"},
		"garbage behind":          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n<b>Warning</b>", true, "accepted"},
		"garbage before":          {"Warning\r\nHTTP/1.1 200 OK\r\n\r\n", false, "unavailable"},
		"cut in the status":       {"HTTP/1.1 200", false, "unavailable"},
		"no status":               {"HTTP/1.1 0200 OK\r\n\r\n", false, "unavailable"},
	} {
		for scheme, config := range map[string]*tls.Config{"http": nil, "https": config} {
			t.Run(name+" by "+scheme, func(t *testing.T) {
				address, requests := sinktest.RawReceiver(t, config, c.answer, c.keep)
				var attempts []pipeline.Attempt
				env := sinks.Env{Name: "bot", Attempt: func(a pipeline.Attempt) { attempts = append(attempts, a) }}
				sink := sinktest.OpenWebhookIn(t, env, scheme+"://"+address, func(w *webhook.Config) {
					if config != nil {
						w.TLSCAFile = ca
					}
				})
				const events = 20
				for range events {
					if err := sinktest.DeliverOne(t, sink); sinktest.ErrorClass(err) != c.want {
						t.Fatalf("%s, want %s: %v", sinktest.ErrorClass(err), c.want, err)
					}
				}
				if n := requests.Load(); n != events {
					t.Errorf("%d requests for %d events", n, events)
				}
				if a := attempts[0]; len(attempts) != events || (a.Error == "") != (c.want == "accepted") || (a.Status == 0) != (c.want == "unavailable") {
					t.Errorf("%d attempts, the first one %+v", len(attempts), a)
				}
			})
		}
	}
}

// http2Receiver speaks HTTP/2 itself, with answer for each request, or HTTP/1.1 with a client that wants that.
func http2Receiver(t *testing.T, answer func(f *http2.Framer, stream uint32) error) (address, ca string, old, requests *atomic.Int32) {
	t.Helper()
	config, ca := sinktest.Certificate(t)
	config.NextProtos = []string{"h2", "http/1.1"}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	old, requests = new(atomic.Int32), new(atomic.Int32)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				tlsConn, ok := conn.(*tls.Conn)
				if !ok || tlsConn.HandshakeContext(t.Context()) != nil {
					return
				}
				if tlsConn.ConnectionState().NegotiatedProtocol == "h2" {
					serveHTTP2(conn, answer, requests)
					return
				}
				for in := bufio.NewReader(conn); ; {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(req.Body)
					if len(body) > 0 && req.Header.Get("Webhook-Id") != "" {
						old.Add(1)
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return listener.Addr().String(), ca, old, requests
}

func serveHTTP2(conn net.Conn, answer func(f *http2.Framer, stream uint32) error, requests *atomic.Int32) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	if f.WriteSettings() != nil {
		return
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				requests.Add(1)
				err = answer(f, frame.StreamID)
			}
		}
		if err != nil {
			return
		}
	}
}

// TestWebhookHTTP11Required has a receiver refuse HTTP/2, for a request and for the connection. relay goes on with HTTP/1.1 at once, and asks no
// second time.
func TestWebhookHTTP11Required(t *testing.T) {
	for name, answer := range map[string]func(*http2.Framer, uint32) error{
		"request": func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
		},
		"connection": func(f *http2.Framer, _ uint32) error { return f.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			address, ca, old, requests := http2Receiver(t, answer)
			sink := sinktest.OpenWebhook(t, "https://"+address, func(w *webhook.Config) { w.TLSCAFile = ca })
			for range 5 {
				if err := sinktest.DeliverOne(t, sink); err != nil {
					t.Fatal(err)
				}
			}
			if old.Load() != 5 || requests.Load() != 1 {
				t.Errorf("%d events by HTTP/1.1, %d requests by HTTP/2", old.Load(), requests.Load())
			}
		})
	}
}

// TestWebhookHTTP2Header has a receiver answer 200 with a large header by HTTP/2. One that is too large for the client to see the status costs
// one event a second request, by HTTP/1.1.
func TestWebhookHTTP2Header(t *testing.T) {
	for size, want := range map[int][2]int32{100 << 10: {3, 0}, 300 << 10: {1, 3}, 1 << 20: {1, 3}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			address, ca, old, requests := http2Receiver(t, func(f *http2.Framer, stream uint32) error { return writeHeader(f, stream, size) })
			sink := sinktest.OpenWebhook(t, "https://"+address, func(w *webhook.Config) { w.TLSCAFile = ca })
			for i := range 3 {
				err := sinktest.DeliverOne(t, sink)
				if size > 256<<10 && i == 0 {
					if sinktest.ErrorClass(err) != "unavailable" {
						t.Fatal(err)
					}
					err = sinktest.DeliverOne(t, sink)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if got := [2]int32{requests.Load(), old.Load()}; got != want {
				t.Errorf("%d requests by HTTP/2 and 1.1, want %d", got, want)
			}
		})
	}
}

// writeHeader answers 200 with a header of about size octets.
func writeHeader(f *http2.Framer, stream uint32, size int) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	for i := range size / 8000 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-wide-%d", i), Value: strings.Repeat("~", 8000), Sensitive: true})
	}
	rest := block.Bytes()
	first := rest[:min(len(rest), 16<<10)]
	rest = rest[len(first):]
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: true, EndHeaders: len(rest) == 0})
	for len(rest) > 0 && err == nil {
		next := rest[:min(len(rest), 16<<10)]
		rest = rest[len(next):]
		err = f.WriteContinuation(stream, len(rest) == 0, next)
	}
	return err
}
