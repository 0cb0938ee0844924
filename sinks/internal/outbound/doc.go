// Package outbound sends the HTTP requests of sinks.
//
// A [Route] leads to one receiver. Its [Guard] checks each address just before a connection is made, so that no request
// reaches an address that the operator cannot have meant, whatever a name resolves to. Its client follows no redirects,
// decompresses nothing and bounds what it reads. A [Trace] keeps the status of a response even if the client cannot
// read the rest of it.
package outbound
