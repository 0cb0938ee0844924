package terminal

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := NewProgress(&out, true)
		for n := range 1000 {
			if err := p.Show(n, time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if err := p.Clear(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); strings.Count(got, "\r") != 6 || !strings.HasSuffix(got, "\r\x1b[K") || strings.Contains(got, "\n") || !strings.Contains(got, "\r\x1b[K800, up to 19") {
			t.Errorf("%q", got)
		}
		out.Reset()
		p = NewProgress(&out, false)
		if err := errors.Join(p.Show(1, time.Now()), p.Clear()); err != nil || out.Len() > 0 {
			t.Errorf("%q without a terminal (%v)", out.String(), err)
		}
	})
}
