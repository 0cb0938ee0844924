package api

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// Direct is a transport to a handler in this process, for a command that runs without a relay. Answers are streamed, as over a connection.
type Direct struct {
	handler http.Handler
	work    sync.WaitGroup
}

// NewDirect returns a transport to a handler. The caller must close it.
func NewDirect(handler http.Handler) *Direct { return &Direct{handler: handler} }

// RoundTrip implements [http.RoundTripper].
func (d *Direct) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	reader, writer := io.Pipe()
	w := &directWriter{header: make(http.Header), body: writer, begun: make(chan struct{})}
	d.work.Go(func() {
		defer cancel()
		d.handler.ServeHTTP(w, r.WithContext(ctx))
		w.WriteHeader(http.StatusOK)
		_ = writer.Close() // it never fails
	})
	select {
	case <-w.begun:
	case <-ctx.Done():
		cancel()
		_ = reader.Close()
		return nil, context.Cause(r.Context())
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: &directBody{reader, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// Close waits for running handlers. The bodies of all answers must be closed before.
func (d *Direct) Close() error {
	d.work.Wait()
	return nil
}

// directBody is the body of an answer. Closing it cancels the handler.
type directBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements [io.Closer].
func (b *directBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// directWriter is the [http.ResponseWriter] of one request. Only the handler uses it.
type directWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header
}

// Header implements [http.ResponseWriter].
func (w *directWriter) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *directWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

// Write implements [http.ResponseWriter].
func (w *directWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements [http.Flusher].
func (w *directWriter) Flush() { w.WriteHeader(http.StatusOK) }
