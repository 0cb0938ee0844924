// Package reply decodes what providers answer, in any form: tokens with their lifetime, and error replies with their
// subject. It knows no provider and sends nothing. The text it returns from an error reply is safe to log; none of its
// errors quotes a body.
package reply
