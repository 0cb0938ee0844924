package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A rateLimit is how many deliveries may start per second. Zero means no limit.
type rateLimit struct{ perSecond float64 }

func (rateLimit) wanted() string {
	return "a number per second, minute or hour, such as 10/s or 300/m"
}

// pattern is a regular expression for the JSON Schema.
func (rateLimit) pattern() string { return `[1-9][0-9]*/[smh]` }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *rateLimit) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n == 0 || !known {
		return errors.New("not a rate")
	}
	r.perSecond = float64(n) / seconds
	return nil
}

// String writes the rate with the shortest unit in which it is a whole number. It is empty if there is no limit.
func (r rateLimit) String() string {
	if r.perSecond == 0 {
		return ""
	}
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}} {
		if n := r.perSecond * unit.seconds; math.Abs(n-math.Round(n)) < 1e-6 {
			return fmt.Sprintf("%.0f/%s", n, unit.name)
		}
	}
	return fmt.Sprintf("%.0f/h", r.perSecond*3600)
}
