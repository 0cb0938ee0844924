package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
)

// A receiver that refuses the signature is reported as down with that cause by status, /readyz, doctor and an alert. No treat is lost.
func TestReceiverWithAnotherSecret(t *testing.T) {
	var right atomic.Bool
	var accepted atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if !right.Load() {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		accepted.Add(1)
	}))
	t.Cleanup(server.Close)
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.addSink("other", webhookTo(server.URL))
	w.configure(func(s *settings) { s.Alerts.Sink = "bot" })
	url := w.onHTTP()
	p := w.start()
	w.connected()
	const n, cause = 5, "status 401: the receiver refuses the signature: check secret"
	w.live.emit(0, n)
	holds(t, "stdout", p.out, 0, n)
	w.ready(url, http.StatusOK, func(v api.Readiness) error {
		if v.State != api.StateDegraded {
			return fmt.Errorf("%s", v.State)
		}
		return only(v.Degraded, "sink other", cause)
	})
	for _, s := range w.snapshot().Sinks {
		if s.Sink == "other" && (s.State != "down" || !strings.Contains(s.Reason, cause)) {
			t.Errorf("status: %+v", s)
		}
	}
	if text := w.relay(exit.OK, "status").out.text(); !strings.Contains(text, cause) {
		t.Errorf("relay status:\n%s", text)
	}
	if f := w.doctor(exit.Failure).of(t, "webhook", "other"); f.State != doctor.Fault || !strings.Contains(f.Detail, cause) || !strings.Contains(f.Fix, "sinks.other") {
		t.Errorf("relay doctor: %+v", f)
	}
	eventually(t, func() error {
		for _, line := range w.bot.get() {
			alert, err := pipeline.Record{Line: []byte(line)}.Alert()
			if err == nil && alert.Data.Sink == "other" && alert.Data.Kind == pipeline.AlertDown && strings.Contains(alert.Data.Reason+alert.Data.Hint, cause) {
				return nil
			}
		}
		return fmt.Errorf("the alert is not among %q", w.bot.get())
	})
	right.Store(true)
	eventually(t, func() error {
		if got := accepted.Load(); got != n {
			return fmt.Errorf("%d accepted", got)
		}
		return nil
	})
	if got := w.deadLetters(); len(got) > 0 {
		t.Errorf("dead letters %+v", got)
	}
	p.stop()
}
