package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
)

// relay runs a command to its end and checks its exit code. If it fails, stdout must be empty.
func (w *world) relay(code int, args ...string) *process {
	w.t.Helper()
	p := w.start(args...)
	if got := p.exit(); got != code {
		w.t.Fatalf("relay %q: exit code %d, want %d:\n%s", args, got, code, p.err.text())
	}
	if code != exit.OK && len(p.out.get()) > 0 {
		w.t.Errorf("relay %q fails and writes to stdout:\n%s", args, p.out.text())
	}
	return p
}

// command runs relay to its end with this standard input.
func (w *world) command(input string, args ...string) (out, stderr string, code int) {
	w.t.Helper()
	p := w.start(args...)
	if _, err := io.WriteString(p.in, input); err != nil {
		w.t.Fatal(err)
	}
	if err := p.in.Close(); err != nil {
		w.t.Fatal(err)
	}
	code = p.exit()
	return p.out.text(), p.err.text(), code
}

// deadLetters returns the output of relay deadletters list --json.
func (w *world) deadLetters(flags ...string) []journal.DeadLetter {
	w.t.Helper()
	return w.deadLettersOf("list", flags...)
}

// deadLettersOf returns the output of a command of relay deadletters, with --json.
func (w *world) deadLettersOf(command string, flags ...string) (letters []journal.DeadLetter) {
	w.t.Helper()
	p := w.relay(exit.OK, append([]string{"deadletters", command, "--json"}, flags...)...)
	for _, line := range p.out.get() {
		var d journal.DeadLetter
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		letters = append(letters, d)
	}
	return letters
}

// status returns the entry of one sink in relay sinks --json.
func (w *world) status(name string) (s api.Sink) {
	w.t.Helper()
	var names []string
	for _, line := range w.relay(exit.OK, "sinks", "--json").out.get() {
		var one api.Sink
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		if names = append(names, one.Sink); one.Sink == name {
			s = one
		}
	}
	if want := []string{"bot", "console", "overlay"}; !slices.Equal(names, want) {
		w.t.Fatalf("sinks %v, want %v", names, want)
	}
	return s
}

// snapshot returns the output of relay status --json.
func (w *world) snapshot() (s api.Status) {
	w.t.Helper()
	out := w.relay(exit.OK, "status", "--json").out.get()
	if len(out) != 1 {
		w.t.Fatalf("%d lines of JSON: %q", len(out), out)
	}
	w.checkNoSecret("relay status", out[0])
	if err := json.Unmarshal([]byte(out[0]), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// ready polls /readyz until it answers with this code and check accepts the answer.
func (w *world) ready(url string, code int, check func(api.Readiness) error) {
	w.t.Helper()
	eventually(w.t, func() error {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		w.checkNoSecret("/readyz", string(body))
		var v api.Readiness
		if err := json.Unmarshal(body, &v); err != nil || resp.StatusCode != code {
			return fmt.Errorf("%s (%w): %s", resp.Status, err, body)
		}
		if err := check(v); err != nil {
			return fmt.Errorf("%w: %s", err, body)
		}
		return nil
	})
}

// only checks that exactly one part is in trouble, with these words in its reason or fix.
func only(of []api.Trouble, part string, words ...string) error {
	if len(of) != 1 || of[0].Part != part {
		return fmt.Errorf("want only %s in trouble, not %v", part, of)
	}
	for _, word := range words {
		if !strings.Contains(of[0].String(), word) {
			return fmt.Errorf("want %q in %q", word, of[0])
		}
	}
	return nil
}

func isFine(v api.Readiness) error {
	if v.State != api.StateReady {
		return fmt.Errorf("%s", v.State)
	}
	return nil
}

// findings is the output of relay doctor --json.
type findings []doctor.Finding

// doctor runs relay doctor, and checks its exit code and that its output has no secret.
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

// of returns the only finding with this name whose subject contains subject.
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

// in returns the names of the findings in a state.
func (all findings) in(state doctor.State) (names []string) {
	for _, f := range all {
		if f.State == state {
			names = append(names, f.Name)
		}
	}
	return names
}

// trace returns the output of relay trace --json.
func (w *world) trace(id string) (steps []api.TraceStep) {
	w.t.Helper()
	for _, line := range w.relay(exit.OK, "trace", id, "--json").out.get() {
		var s api.TraceStep
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.ID != id {
			w.t.Fatalf("%q: %v", line, err)
		}
		steps = append(steps, s)
	}
	return steps
}

// checkRedriveTrace checks the trace of an event that the receiver refused once and then accepted.
func (w *world) checkRedriveTrace(id string) {
	w.t.Helper()
	eventually(w.t, func() error { // the log of attempts is written a moment later
		steps := make(map[string]int)
		for _, s := range w.trace(id) {
			steps[strings.TrimSpace(s.Step+" "+s.Sink)]++
		}
		for _, want := range []string{"received", "journaled", "attempt console", "attempt overlay", "resent bot"} {
			if steps[want] != 1 {
				return fmt.Errorf("steps %v, want one of %s", steps, want)
			}
		}
		return nil
	})
	text := w.relay(exit.OK, "trace", id).out.text()
	for _, want := range []string{id, "account mystream", "stdout", "redrive of dead letter"} {
		if !strings.Contains(text, want) {
			w.t.Errorf("the trace lacks %q:\n%s", want, text)
		}
	}
}

// makeDeadLetters turns all journaled events into dead letters while no relay runs, and empties the receiver.
func (w *world) makeDeadLetters() {
	w.t.Helper()
	lock, err := datadir.Lock(w.t.Context(), w.data())
	if err != nil {
		w.t.Fatal(err)
	}
	var undo datadir.Teardown
	undo.Add("data folder", lock.Close)
	at := config.Journal{Retention: time.Hour}
	var j *journal.Journal
	storage, err := datadir.OpenStorage(w.t.Context(), at, w.data(), zerolog.Nop(), &undo)
	if err == nil {
		j, err = journal.Open(w.t.Context(), journal.Config{
			Log: storage.Log, State: storage.State, Attempts: attempts.NewReader(storage.Attempts), Retention: at.Retention, Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		})
	}
	first, next := uint64(1), uint64(0)
	if err == nil {
		first, next = j.Bounds()
	}
	for number := first; number < next && err == nil; number++ {
		var r journal.Record
		if r, err = j.Get(w.t.Context(), number); err == nil && r.Kind == journal.Treat {
			err = j.KeepDeadLetter(w.t.Context(), "bot", "status 400: no such dish", 5, r.Delivery())
		}
	}
	if err := errors.Join(err, undo.Run()); err != nil {
		w.t.Fatal(err)
	}
	w.bot.clear()
}

// journaledTitles returns the titles in the journal of a relay that has stopped.
func (w *world) journaledTitles() (titles []string) {
	w.t.Helper()
	for _, r := range w.journalRecords() {
		titles = append(titles, titlesOf(w.t, []string{string(r.Data)})...)
	}
	return titles
}

// journalRecords reads the events in the journal of a relay that has stopped.
func (w *world) journalRecords() (all []journal.Record) {
	w.t.Helper()
	log, err := filelog.OpenReader(w.t.Context(), filelog.Options{Dir: w.data(datadir.JournalDir)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	for at, next := log.Bounds(); at < next; {
		records, err := log.Read(w.t.Context(), at, 1000)
		if err != nil {
			w.t.Fatalf("read number %d: %v", at, err)
		}
		if len(records) == 0 { // the newest are lost
			break
		}
		for _, r := range records {
			if at = r.Number + 1; r.Kind == journal.Treat {
				all = append(all, r)
			}
		}
	}
	return all
}
