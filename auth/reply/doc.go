// Package reply decodes the responses of providers, in any form: tokens with their lifetime, and error replies with their
// subject. It is the same for every provider, and sends nothing. The text it returns from an error reply is safe to log; none of its
// errors quotes a body.
package reply
