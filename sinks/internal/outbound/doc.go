// Package outbound is how sinks send HTTP requests out of the house.
//
// A [Route] leads to one receiver. Its [Guard] sees each address just before a connection is made: nothing reaches an address that the operator
// cannot have meant, whatever a name resolves to. Its client follows no redirects, unpacks nothing and reads little; a [Trace] keeps the status of
// an answer of which the client cannot read the rest.
package outbound
