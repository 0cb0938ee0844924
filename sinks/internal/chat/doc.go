// Package chat posts events to an incoming webhook of a chat service. A [Service] implements what differs between
// services.
//
// A [Sink] sends one request at a time and keeps the pauses that the service asks for. It splits a refused message in
// halves and tries again, until it has found the event to blame.
package chat
