//go:build unix

package intake

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// cpu is what the process has used of it.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandle takes treats of 340 bytes in, up to the disk: decoding, id, index, event, and the journal's writer. The CPU is that of all.
func BenchmarkHandle(b *testing.B) {
	r := newRig(b, b.TempDir())
	in := r.intakeOf("acc", zerolog.Nop())
	if err := in.CatchUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	payloads := make([]json.RawMessage, 4096)
	begin := time.Now().Add(-time.Hour)
	for i := range payloads {
		payloads[i] = fmt.Appendf(nil, `{"sender":"viewer_%d","sender_type":"twitch","receiver":"mystreamer","receiver_type":"twitch","title":"Pizza Margherita","message":"Thank you for the great stream, enjoy the food! Number       ","date_created":%q}`,
			i, begin.Add(time.Duration(i)*time.Second).UTC().Format(time.DateTime))
	}
	args := make([]json.RawMessage, 1)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu(b)
	for i := range b.N {
		p := payloads[i%len(payloads)]
		copy(p[185:], fmt.Sprintf("%7d", i/len(payloads))) // so that none is a repeat
		args[0] = p
		if err := in.Handle(b.Context(), args, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	if err := in.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(b.N), "cpu-µs/op")
	if got := r.Metric(r.t, "relay_events_journaled_total"); got != float64(b.N) {
		b.Errorf("%v of %d treats journaled", got, b.N)
	}
}
