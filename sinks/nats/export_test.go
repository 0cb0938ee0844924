package nats

import (
	"time"
)

// SetAnswerTimeout shortens the wait of a nats sink for an answer of the server.
func SetAnswerTimeout(c *Config, d time.Duration) { c.answerTimeout = d }
