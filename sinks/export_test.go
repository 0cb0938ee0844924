package sinks

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// SetAnswerTimeout shortens the wait of a nats sink for an answer of the server. Call it before the first Deliver.
func SetAnswerTimeout(s pipeline.Sink, d time.Duration) {
	s.(*natsSink).timeout = d
}
