package filelog

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A prepared segment takes the place of one that is full while the next is about to be prepared: what is written stays what it is.
func TestPreparingLeavesSegmentsAlone(t *testing.T) {
	const size, records = 300 << 10, 300
	r := newRig(t, minPrepared)
	l := r.open()
	defer closeLog(t, l)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case l.writer.builder.work <- struct{}{}:
			}
		}
	}()
	data := bytes.Repeat([]byte("x"), size)
	prepared := 0
	for n := range uint64(records) {
		e := entry(int(n + 1))
		e.Data = fmt.Appendf(data[:size:size], "%d", n)
		before := l.writer.builder.spare.Load()
		add(t, l, n+1, []journal.Entry{e})
		if before && !l.writer.builder.spare.Load() {
			prepared++
		}
	}
	close(stop)
	<-stopped
	got := all(t, l, 3)
	for i := range got {
		if want := fmt.Sprint(i); got[i].Number != uint64(i)+1 || string(got[i].Data[size:]) != want {
			t.Fatalf("record %d ends with %q", got[i].Number, got[i].Data[size:])
		}
	}
	if len(got) != records || len(r.reported()) != 0 || prepared == 0 {
		t.Errorf("%d of %d records, with %d prepared segments", len(got), records, prepared)
	}
}
