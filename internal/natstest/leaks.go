package natstest

import "go.uber.org/goleak"

// Leaks names what the embedded server leaves behind now and then, for a test that looks for goroutines: nats-server 2.15.2
// keeps the store of an atomic batch that is not finished when it shuts down.
func Leaks() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	return []goleak.Option{
		goleak.IgnoreAnyFunction(server + ".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server + ".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server + "/ats.Register.func1"),
	}
}
