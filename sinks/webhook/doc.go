// Package webhook is the sink that sends every event in an HTTP request of its own, signed as Standard Webhooks demands.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] makes the sink. The status of an answer decides what becomes of an
// event: any 2xx accepts it, a refusal steers the lane as package pipeline has it, and the text of the answer is for people only. Requests go only
// where the operator may want them to go: a name must lead to a public address or an allowed network. Neither the URL, a key, a header nor a token
// shows in a log, an error or an attempt.
package webhook
