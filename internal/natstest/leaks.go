package natstest

import "go.uber.org/goleak"

// Leaks excludes goroutines that the embedded server sometimes leaves behind, for tests that check for leaks.
// nats-server 2.15.2 keeps the store of an unfinished atomic batch at shutdown.
func Leaks() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	return []goleak.Option{
		goleak.IgnoreAnyFunction(server + ".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server + ".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server + "/ats.Register.func1"),
	}
}
