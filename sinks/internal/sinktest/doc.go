// Package sinktest has what the tests of the sinks share: records, real far ends for every type of sink, and stand-ins for Discord and Slack
// that hold messages to the services' rules. Only tests import it.
package sinktest
