// Package outcome has what the sinks share to say how a delivery ended: the attempts they report, and errors without secrets.
package outcome
