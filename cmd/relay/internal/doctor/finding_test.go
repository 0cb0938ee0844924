package doctor

import (
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

func TestFindings(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		got  Finding
		want State
	}{
		"a certificate of a year":    {certificate("TLS 1.3", now.AddDate(1, 0, 0), now), OK},
		"a certificate of a week":    {certificate("TLS 1.3", now.AddDate(0, 0, 7), now), Warning},
		"a fast disk":                {syncFinding(35 * time.Microsecond), OK},
		"a slow disk":                {syncFinding(21 * time.Millisecond), Warning},
		"a clock 20 s ahead":         {clockFinding(20 * time.Second), OK},
		"a clock 40 s behind":        {clockFinding(-40 * time.Second), Warning},
		"a clock six minutes behind": {clockFinding(-6 * time.Minute), Fault},
		"a clock that was never set": {clockFinding(-50 * 365 * 24 * time.Hour), Fault},
	} {
		if tc.got.State != tc.want {
			t.Errorf("%s: %+v, want %s", name, tc.got, tc.want)
		}
	}
	config, login, other := faulty(advice.Do("m"), "d").coded(exit.Config), faulty(advice.Do("m"), "d").coded(exit.Unauthorized), faulty(advice.Do("m"), "d")
	config.Name = CheckConfig
	for want, all := range map[int][]Finding{
		exit.OK: {fine("d"), warned(advice.Do("m"), "d"), skipped("d")}, exit.Unauthorized: {login, fine("d"), login},
		exit.Failure: {login, other, login}, exit.Config: {config, other, login},
	} {
		var o outcome
		for _, f := range all {
			o.add(f)
		}
		if o.code != want {
			t.Errorf("%v: exit code %d, want %d", all, o.code, want)
		}
	}
}
