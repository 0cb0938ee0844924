package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// manyFaults are files with some 100,000 faults each.
func manyFaults() map[string]string {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	const start = "accounts: {mystream: {provider: treesnap}}\nsinks:\n  out:\n    type: stdout\n"
	return map[string]string{
		"unknown keys":            lines(100_000, "key%d: x\n"),
		"unknown keys of a sink":  start + lines(100_000, "    key%d: x\n"),
		"duplicate keys":          start + strings.Repeat("    tests: skip\n", 100_000),
		"unknown accounts":        start + "    accounts:\n" + lines(100_000, "      - account%d\n"),
		"the same account":        start + "    accounts:\n" + strings.Repeat("      - mystream\n", 100_000),
		"accounts without keys":   "accounts:\n" + lines(90_000, "  a%d: {}\n"),
		"sinks without a type":    "sinks:\n" + lines(90_000, "  s%d: {}\n"),
		"accounts with bad keys":  "accounts:\n" + lines(50_000, "  a%d:\n    providr: treesnap\n"),
		"bad names":               "accounts:\n" + lines(60_000, "  A%d: {provider: treesnap}\n"),
		"unknown variables":       start + "    accounts:\n" + lines(100_000, "      - \"${NONE%d}\"\n"),
		"secrets in bad accounts": "accounts:\n" + lines(30_000, "  a%d:\n    provider: nobody\n    client_secret: \"secret of many letters\"\n"),
		"sinks of one stream":     "accounts: {mystream: {provider: treesnap}}\nsinks:\n" + lines(60_000, "  s%d: {type: nats}\n"),
		"many accounts, unknown":  "accounts:\n" + lines(30_000, "  a%d: {provider: treesnap}\n") + "sinks:\n  out:\n    type: stdout\n    accounts:\n" + lines(30_000, "      - b%d\n"),
		"lines without a colon":   lines(100_000, "key%d\n"),
		"tabs":                    lines(100_000, "\tkey%d: x\n"),
		"anchors":                 lines(60_000, "key%d: &a x\n"),
	}
}

func TestManyFaults(t *testing.T) {
	for name, text := range manyFaults() {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/relay.yaml"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err := LoadConfig(path, os.LookupEnv)
			if err == nil {
				t.Fatal("no error")
			}
			t.Logf("%v, %d lines", time.Since(began), strings.Count(err.Error(), "\n"))
		})
	}
}
