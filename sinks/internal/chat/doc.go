// Package chat posts events to an incoming webhook of a chat service. What one service has of its own is a [Service].
//
// A [Sink] has one request under way at a time and keeps the pauses that the service asks for. A message that is refused is posted again in
// halves, so that one event is to blame in the end.
package chat
