package main

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline"
)

// Doctor finds no fault before the first run, while relay runs, and afterwards. The running relay still gets each treat once, and
// its ports are not reported as taken. Only --ping sends something, and only to the webhook.
func TestDoctorFindsNoFaults(t *testing.T) {
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
	if f := all.of(t, "nats", "far"); !strings.Contains(f.Detail, "may be created") {
		t.Errorf("%+v", f)
	}
	if f := all.of(t, "nats", "overlay"); f.State != doctor.Skipped {
		t.Errorf("%+v", f)
	}
	if f := all.of(t, "journal", ""); !strings.Contains(f.Detail, "begins when relay first runs") {
		t.Errorf("%+v", f)
	}
	if _, err := os.Stat(w.data(datadir.JournalDir)); err == nil {
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
