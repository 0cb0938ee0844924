// Package nats is the sink that publishes every event to a JetStream stream, on the server that relay itself runs for
// overlays or on a configured one.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] creates the sink. An event is delivered
// once the stream has acknowledged it. Messages are published in order, without waiting for the acknowledgements of
// earlier ones. Each has the ID of the event, so that the stream drops duplicates. On relay's own server, each also has
// its number in the journal, so that the lane resumes at the right record after a power failure. [Config.Inspect] and
// [InspectStream] check whether a stream is usable, without changing anything.
package nats
