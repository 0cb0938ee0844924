// Package reply reads what providers answer, in whatever shape: tokens with the life they have, and complaints with what they
// are about. It knows no provider and sends nothing. What it gives of a complaint is fit for a log; none of its errors quotes
// a body.
package reply
