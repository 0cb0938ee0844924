package body

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// sample is an event to test templates with.
type sample struct {
	what  string
	event pipeline.Event
}

func samples() []sample {
	at := time.Date(2026, 11, 21, 21, 40, 16, 765_000_000, time.UTC)
	text := func(s string) *string { return &s }
	full := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, ID: "trt_06H003C601TTVEEHS54BW8N74C", Source: "/treatstream/mystream", Type: pipeline.EventType,
		Time: at.Truncate(time.Second), RecordedTime: at, DataContentType: pipeline.DataContentType, Origin: pipeline.OriginLive,
		Data: pipeline.Data{
			Account: "mystream", Provider: "treatstream", Sender: text(`Captain "Crumb" \o/`), SenderType: text("twitch"),
			Receiver: text("streamer"), ReceiverType: text("twitch"), Title: text("Fish 'n' chips"),
			Message: text("dinner\n& <b>served</b>"), DateCreated: text("2026-11-21 21:40:16"),
		},
	}
	test, anonymous, bare := full, full, full
	test.Origin = pipeline.OriginTest
	anonymous.Data.Sender, anonymous.Data.SenderType, anonymous.Data.Anonymous = nil, nil, true
	bare.Data = pipeline.Data{Account: "mystream", Provider: "treatstream", Anonymous: true}
	return []sample{
		{"a full event", full},
		{"a test event", test},
		{"an event without a sender", anonymous},
		{"an event whose texts are all null", bare},
	}
}
