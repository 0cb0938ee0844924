// Package webhook is the sink that sends every event in an HTTP request of its own, signed as Standard Webhooks
// requires.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] creates the sink. The status of a
// response alone decides what happens to an event. Any 2xx accepts it; otherwise the error type tells the lane what to
// do, see package pipeline. The text of a response is only for people. Requests go only to public addresses and allowed
// networks. The URL, keys, headers and tokens never appear in a log, an error or an attempt.
package webhook
