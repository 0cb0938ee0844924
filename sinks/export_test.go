package sinks

import "time"

// SetAnswerTimeout shortens the wait of a nats sink for an answer of the server.
func SetAnswerTimeout(c *NATSConfig, d time.Duration) { c.answerTimeout = d }
