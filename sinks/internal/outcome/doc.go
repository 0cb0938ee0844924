// Package outcome helps sinks to report the result of a delivery: a log of attempts, and errors without secrets.
package outcome
