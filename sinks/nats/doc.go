// Package nats is the sink that publishes every event to a JetStream stream: of the server that relay runs itself for overlay backends, or of
// one that the configuration names.
//
// [Config] is its section of the configuration, with yaml tags; [Config.Open] makes the sink. An event counts as delivered when the stream has
// acknowledged it. Publishes run ahead of the acknowledgements, in order; each carries the event's id, by which the stream refuses a copy.
// On relay's own server each also carries the number in the journal, by which the lane resumes after a power cut.
// [Config.Inspect] and [InspectStream] find out whether a stream is usable, and change nothing.
package nats
