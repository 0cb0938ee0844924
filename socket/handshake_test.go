package socket

import (
	"strings"
	"testing"
	"time"
)

func TestParseHandshake(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for in, want := range map[string]handshake{
		`{"sid":"a","pingInterval":25000,"pingTimeout":60000}`:                    {sid: "a", pingInterval: 25 * s, pingTimeout: 60 * s},
		`{"sid":"a","pingInterval":"25000","pingTimeout":" 5000 "}`:               {sid: "a", pingInterval: 25 * s, pingTimeout: 5 * s},
		`{"sid":"a","pingInterval":25000.5,"pingTimeout":2.5e4}`:                  {sid: "a", pingInterval: 25*s + 500*time.Microsecond, pingTimeout: 25 * s},
		`{"sid":"a","pingInterval":"2.5e4","pingTimeout":"20000.0"}`:              {sid: "a", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":"a","pingInterval":30000}`:                                        {sid: "a", pingInterval: 30 * s, pingTimeout: 20 * s},
		`{"sid":"a"}`:                                                             {sid: "a", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":"a","pingInterval":0,"pingTimeout":0}`:                            {sid: "a", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":"a","pingInterval":null,"pingTimeout":""}`:                        {sid: "a", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":"a","pingInterval":-5,"pingTimeout":"-1e3"}`:                      {sid: "a", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":"a","pingInterval":1,"pingTimeout":1e-400}`:                       {sid: "a", pingInterval: 100 * ms, pingTimeout: 20 * s},
		`{"sid":"a","pingInterval":1e300,"pingTimeout":1e999}`:                    {sid: "a", pingInterval: time.Hour, pingTimeout: time.Hour},
		`{"sid":"a","pingInterval":9223372036854775807,"pingTimeout":3600001}`:    {sid: "a", pingInterval: time.Hour, pingTimeout: time.Hour},
		`{"sid":17,"pingInterval":25000,"pingTimeout":20000}`:                     {sid: "17", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":-1.5e3,"upgrades":null,"maxPayload":"x","pingInterval":25000}`:    {sid: "-1.5e3", pingInterval: 25 * s, pingTimeout: 20 * s},
		`{"sid":"\u0000\"","pingInterval":25000,"pingTimeout":20000,"more":[{}]}`: {sid: "\x00\"", pingInterval: 25 * s, pingTimeout: 20 * s},
	} {
		if got, err := parseHandshake([]byte(in)); err != nil || got != want {
			t.Errorf("%s: %+v and %v, want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		``:             "not a JSON object",
		`[]`:           "not a JSON object",
		`{"sid":"a`:    "not a JSON object",
		`{}`:           "sid is missing",
		`null`:         "sid is missing",
		`{"sid":""}`:   "sid is missing",
		`{"sid":{}}`:   "sid of the handshake is neither",
		`{"sid":true}`: "sid of the handshake is neither",
		`{"sid":"` + strings.Repeat("x", 600) + `"}`:    "sid of the handshake is longer",
		`{"sid":"a","pingInterval":"soon"}`:             "pingInterval of the handshake is not a number",
		`{"sid":"a","pingInterval":"NaN"}`:              "pingInterval of the handshake is not a number",
		`{"sid":"a","pingInterval":[25000]}`:            "pingInterval of the handshake is not a number",
		`{"sid":"a","pingInterval":1,"pingTimeout":{}}`: "pingTimeout of the handshake is not a number",
	} {
		if got, err := parseHandshake([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v and %v, want an error with %q", in, got, err, want)
		}
	}
}
