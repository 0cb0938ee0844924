package fingerprint

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	epoch := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	at := epoch.Unix()
	floating, named := Date{at, true, 0}, Date{at, false, 0}
	for text, want := range map[string]Date{
		"2026-07-16 21:00:00":                                              floating,
		" 2026-07-16 21:00:00 ":                                            floating,
		"2026-07-16T21:00:00":                                              floating,
		"2026-07-16 21:00":                                                 floating,
		"2026-07-16T21:00":                                                 floating,
		"2026-07-16 21:00:00.000000":                                       floating,
		"2026-07-16T23:00:00+02:00":                                        named,
		"2026-07-16T22:00:00+0100":                                         named,
		"2026-07-16 22:00:00+01":                                           named,
		"2026-07-16 21:00:00Z":                                             named,
		"2026-07-16 21:00Z":                                                named,
		"2026-07-16 23:00:00 +0200":                                        named,
		"2026-07-16 23:00:00 +02:00":                                       named,
		"2026-07-16 21:00:00 UTC":                                          named,
		"2026-07-16 21:00:00 utc":                                          named,
		"2026-07-16 21:00 GMT":                                             named,
		"2026-07-16 23:00:00 CEST":                                         named,
		"2026-07-16 23:00:00.000000 Europe/Berlin":                         named,
		"2026-07-16T15:30:00-05:30":                                        named,
		"Thu, 16 Jul 2026 21:00:00 +0000":                                  named,
		"Thu, 16 Jul 2026 23:00:00 +0200":                                  named,
		"Thu, 16 Jul 2026 21:00:00 GMT":                                    named,
		"16 Jul 2026 17:00 EDT":                                            named,
		"Thu, 16 Jul 2026 21:00:00":                                        floating,
		"Thu, 16 Jul 2026 23:00:00 +0200 (CEST)":                           named,
		"Thu 16 Jul 2026 21:00:00 +0000":                                   named,
		"Thursday, 16-Jul-26 21:00:00 UTC":                                 named,
		"Thursday, 16-Jul-2026 21:00:00 GMT":                               named,
		"Thursday, 16 July 2026 21:00":                                     floating,
		"Thu Jul 16 21:00:00 2026":                                         floating,
		"Thu Jul 16 21:00:00 UTC 2026":                                     named,
		"Thu Jul 16 23:00:00 +0200 2026":                                   named,
		"Thu Jul 16 2026 23:00:00 GMT+0200 (Central European Summer Time)": named,
		"Jul 16, 2026 9:00:00 PM":                                          floating,
		"July 16, 2026, 9:00 pm":                                           floating,
		"2026-07-16 09:00:00 PM UTC":                                       named,
		"2026-07-16 21:00:00 +0000 UTC":                                    named,
		"2026-07-16 22:00:00 GMT+1":                                        named,
		"2026-07-16 22:00:00 UTC+01:00":                                    named,
		"2026-07-16T23:00:00+02:00[Europe/Berlin]":                         named,
		"2026/07/16 21:00:00":                                              floating,
		"2026/07/16T21:00Z":                                                named,
		"2026-07-16 21:00:00 PM":                                           {},
		"16/07/2026 21:00:00":                                              {}, // or is it the month that is first?
		"Xyz Jul 16 21:00:00 2026":                                         {},
		"Thu, 21:00:00":                                                    {},
		"21:00:00":                                                         {},
		"GMT+ : -":                                                         {},
		"1784235600":                                                       named,
		"1784235600.0":                                                     named,
		"1784235600000":                                                    named,
		"1784235600000000":                                                 named,
		"1.7842356e9":                                                      named,
		"1.7842356E+12":                                                    named,
		"1784235600250":                                                    {at, false, 250_000_000},
		"1784235600.25":                                                    {at, false, 250_000_000},
		"2026-07-16T21:00:00.25Z":                                          {at, false, 250_000_000},
		"2026-07-16 21:00:00.25":                                           {at, true, 250_000_000},
		"1999-12-31 23:59:59":                                              {},
		"2101-01-01 00:00:00":                                              {},
		"0000-00-00 00:00:00":                                              {},
		"":                                                                 {},
		"0":                                                                {},
		".":                                                                {},
		"1e999":                                                            {},
		"99999999999999999999":                                             {},
		"1784235600000000000000":                                           {},
		"20260716":                                                         {},
		"yesterday":                                                        {},
		"2026-07-16":                                                       {},
		"2026-07-16 21:00:00 XYZ":                                          {}, // a zone that nobody knows is not taken for UTC
		"2026-07-16 21:00:00 ../../etc/passwd":                             {},
		"2026-07-16 21:61:00":                                              {},
	} {
		if got, ok := parseDate(text); got != want || ok == want.IsZero() {
			t.Errorf("%q is %+v, %v, want %+v", text, got, ok, want)
		}
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if in := (Date{at, true, 5}).In(berlin); !in.Equal(epoch.Add(-2*time.Hour+5)) || !named.In(berlin).Equal(epoch) {
		t.Errorf("in Berlin: %v", in)
	}
}

// No text makes it panic, and what is read is of the years that count.
func FuzzParseDate(f *testing.F) {
	f.Add("2026-07-16 21:00:00")
	f.Add("Thu, 16 Jul 2026 21:00:00 +0000")
	f.Add("1784235600.5")
	f.Add("2026-07-16T21:00:00.5 Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := parseDate(text)
		if ok == m.IsZero() {
			t.Errorf("%q is %+v, %v", text, m, ok)
		}
		if year := time.Unix(m.Digits, 0).UTC().Year(); ok && (year < 1999 || year > 2101) {
			t.Errorf("%q is of the year %d", text, year)
		}
	})
}
