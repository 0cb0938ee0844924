package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
)

// findings are what relay doctor has found.
type findings []doctor.Finding

// doctor runs relay doctor and wants this exit code, and no secret in what it writes.
func (w *world) doctor(code int, args ...string) findings {
	w.t.Helper()
	p := w.start(append([]string{"doctor", "--json"}, args...)...)
	if got := p.exit(); got != code {
		w.t.Fatalf("relay doctor: exit code %d, want %d:\n%s\n%s", got, code, p.out.text(), p.err.text())
	}
	var all findings
	for _, line := range p.out.get() {
		var f doctor.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		if f.Name == "" || f.Detail == "" || (f.State == doctor.Fault || f.State == doctor.Warning) == (f.Fix == "") {
			w.t.Errorf("not a finding: %s", line)
		}
		all = append(all, f)
	}
	for _, s := range []string{simulator.DefaultClientSecret, strings.TrimPrefix(webhookSecret, "whsec_"), "canary"} {
		if strings.Contains(p.out.text()+p.err.text(), s) {
			w.t.Errorf("a secret of %d characters is in the output", len(s))
		}
	}
	return all
}

// of returns the one finding of a name, about a subject that contains this.
func (all findings) of(t *testing.T, name, subject string) doctor.Finding {
	t.Helper()
	var of findings
	for _, f := range all {
		if f.Name == name && strings.Contains(f.Subject, subject) {
			of = append(of, f)
		}
	}
	if len(of) != 1 {
		t.Fatalf("%d findings of %s %s in %v", len(of), name, subject, all)
	}
	return of[0]
}

// in returns the names of those in a state.
func (all findings) in(state doctor.State) (names []string) {
	for _, f := range all {
		if f.State == state {
			names = append(names, f.Name)
		}
	}
	return names
}

// discordStandIn knows one webhook, and what was asked of it.
type discordStandIn struct {
	server *httptest.Server

	mu    sync.Mutex
	gone  bool
	asked []string
}

func newDiscordStandIn(t *testing.T) *discordStandIn {
	t.Helper()
	d := &discordStandIn{}
	d.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asked = append(d.asked, r.Method+" "+r.URL.Path)
		rw.Header().Set("Content-Type", "application/json")
		if d.gone {
			rw.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprintf(rw, `{"message": "Unknown Webhook %s", "code": 10015}`, r.URL.Path)
			return
		}
		_, _ = rw.Write([]byte(`{"id": "123456789012345678", "name": "Treats", "token": "canary-of-discord-0123456789"}`))
	}))
	t.Cleanup(d.server.Close)
	return d
}

func (d *discordStandIn) sink() *sinkSettings {
	const path = "/api/webhooks/123456789012345678/canary-of-discord-0123456789"
	return &sinkSettings{Type: "discord", receiverSettings: receiverSettings{URL: d.server.URL + path}}
}

// Nothing is wrong: before relay has ever run, while it runs, and after. A relay that runs gets each treat once all the while, and
// its ports are no conflict. Only --ping sends something, and that to the webhook alone.
func TestDoctorFindsNothing(t *testing.T) {
	chat, far := newDiscordStandIn(t), natstest.Start(t)
	w := newWorld(t, npmRealtime("2"))
	w.addSink("chat", chat.sink())
	w.addSink("far", natsTo(far.URL(), "FAR", "far.treats"))
	w.onHTTP()
	w.login()
	healthy := func(when string, all findings) {
		t.Helper()
		if wrong := append(all.in(doctor.Fault), all.in(doctor.Warning)...); len(wrong) > 0 {
			t.Errorf("%s: %v in %v", when, wrong, all)
		}
		for name, want := range map[string]string{
			"token": "valid until", "socket-token": "gives one", "socket": "Engine.IO 3", "discord": `"Treats"`, "clock": "as the server's",
			"webhook": "takes connections", "config": "1 accounts and 5 sinks", "fsync": "treats a second", "space": "free",
		} {
			if f := all.of(t, name, ""); f.State != doctor.OK || !strings.Contains(f.Detail, want) {
				t.Errorf("%s: %+v, want %q", when, f, want)
			}
		}
	}

	all := w.doctor(exit.OK)
	healthy("before", all)
	if f := all.of(t, "nats", "far"); !strings.Contains(f.Detail, "may be made") {
		t.Errorf("%+v", f)
	}
	if f := all.of(t, "nats", "overlay"); f.State != doctor.Skipped {
		t.Errorf("%+v", f)
	}
	if f := all.of(t, "journal", ""); !strings.Contains(f.Detail, "begins when relay first runs") {
		t.Errorf("%+v", f)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "data", datadir.JournalDir)); err == nil {
		t.Error("the doctor has made a journal")
	}

	p := w.start()
	w.connected()
	const treats = 60
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := range treats {
			w.live.emit(n, n+1)
			time.Sleep(20 * time.Millisecond)
		}
	})
	all = w.doctor(exit.OK)
	sending.Wait()
	healthy("while it runs", all)
	for subject, want := range map[string]string{"nats.listen": "the relay that runs", "http.listen": "the relay that runs"} {
		if f := all.of(t, "port", subject); !strings.Contains(f.Detail, want) {
			t.Errorf("%+v, want %q", f, want)
		}
	}
	if f := all.of(t, "nats", "overlay"); !strings.Contains(f.Detail, "stream TREATS has") {
		t.Errorf("%+v", f)
	}
	holds(t, "stdout", p.out, 0, treats)
	holds(t, "the webhook", w.bot.lines, 0, treats)
	w.connected()

	if f := w.doctor(exit.OK, "--ping").of(t, "webhook", "bot"); !strings.Contains(f.Detail, "status 200") {
		t.Errorf("%+v", f)
	}
	if last := events(t, w.bot.get())[treats:]; len(last) != 1 || last[0].Origin != pipeline.OriginTest || last[0].Data.Account != "mystream" {
		t.Errorf("the ping is %+v", last)
	}
	p.stop()

	all = w.doctor(exit.OK)
	healthy("after", all)
	if f := all.of(t, "journal", ""); !strings.Contains(f.Detail, "the newest event is of mystream, ") {
		t.Errorf("%+v", f)
	}
	if got := p.out.get(); len(got) != treats {
		t.Errorf("%d treats on stdout, want %d", len(got), treats)
	}
	chat.mu.Lock()
	asked := slices.Clone(chat.asked)
	chat.mu.Unlock()
	if asked := slices.DeleteFunc(asked, func(a string) bool { return strings.HasPrefix(a, "POST ") }); len(asked) != 4 {
		t.Errorf("the doctor asked Discord %q", asked)
	}

	text := w.relay(exit.OK, "doctor")
	if line := text.out.find(t, "token mystream"); !strings.HasPrefix(line, "ok    token mystream: valid until ") {
		t.Errorf("%q", line)
	}
	w.noSecrets(text)
}
