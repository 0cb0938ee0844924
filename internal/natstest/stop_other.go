//go:build unix && !linux

package natstest

import "time"

// awaitStop gives a child that was sent SIGSTOP the time to stop.
func awaitStop(int) { time.Sleep(100 * time.Millisecond) }
