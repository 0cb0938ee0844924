// Package webhook is the sink that sends every event in an HTTP request of its own, signed as Standard Webhooks
// requires.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] creates the sink. The status of a
// response alone decides what happens to an event: any 2xx accepts it, and a refusal steers the lane as package
// pipeline defines; the text of a response is only for people. Requests go only where the operator may have meant them
// to go: a name must resolve to a public address or an allowed network. The URL, keys, headers and tokens never appear
// in a log, an error or an attempt.
package webhook
