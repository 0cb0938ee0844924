package provider

import "time"

// clientCredentials is any API that gives tokens to a client for itself, RFC 6749 section 4.4, by default in the way of
// the one whose documentation was at hand: one JSON object by POST to /oauth/token, without a refresh token in the reply.
func clientCredentials() Provider {
	return Provider{
		Name:      "client-credentials",
		Title:     "the API",
		Endpoints: Endpoints{Token: "/oauth/token"}, //nolint:gosec // This is an address of tokens, not a token.
		Grant:     ClientCredentials,
		Request:   Request{Style: JSON},
		Life:      Life{Access: 15 * time.Minute, Margin: 5 * time.Minute},
	}
}
