// Package httpheader reads HTTP header fields whose values servers write in more ways than their RFC allows. It imports no
// other package of ours.
package httpheader

import (
	"errors"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns the delay that a response asks for in its Retry-After field: a number of seconds, or a date in one of
// three forms (RFC 9110, sections 10.2.3 and 5.6.7). It rounds the delay up to whole seconds, so that a retry is never early.
// It returns zero if the field is missing, negative, past or unreadable, and limit if it asks for more than that. Now is when
// the response arrived.
//
// Against the RFC, a number may have a fraction and an exponent, as some servers send them.
//
// A date is the server's, whose clock may differ from ours. RetryAfter measures it from the Date field of the response and
// from now, and takes the longer delay: a wrong clock can make a retry late, but never early.
func RetryAfter(header http.Header, now time.Time, limit time.Duration) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if isNumber(value) {
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // which comes with an infinite value, or zero
			return 0
		}
		return Seconds(math.Ceil(seconds), limit)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	delay := date.Sub(now)
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		delay = max(delay, date.Sub(sent))
	}
	if delay <= 0 {
		return 0
	}
	if delay >= limit { // before it is rounded up, which could overflow
		return limit
	}
	return min((delay + time.Second - 1).Truncate(time.Second), limit)
}

// isNumber reports whether a value is a number without a sign.
func isNumber(value string) bool {
	return regexp.MustCompile(`^[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$`).MatchString(value)
}

// Seconds converts a number of seconds to a duration between zero and limit. A negative number and NaN are zero.
func Seconds(seconds float64, limit time.Duration) time.Duration {
	if !(seconds > 0) { // nor NaN
		return 0
	}
	if seconds >= limit.Seconds() {
		return limit
	}
	return time.Duration(math.Ceil(seconds * float64(time.Second)))
}
