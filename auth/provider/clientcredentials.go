package provider

import "time"

// clientCredentials is any API that issues tokens to a client for itself (RFC 6749 section 4.4). By default, a request
// is one JSON object by POST to /oauth/token, and the reply has no refresh token.
func clientCredentials() Provider {
	return Provider{
		Name:      "client-credentials",
		Title:     "the API",
		Endpoints: Endpoints{Token: "/oauth/token"}, //nolint:gosec // This is an address of tokens, not a token.
		Grant:     ClientCredentials,
		Request:   Request{Style: JSON},
		Lifetimes: Lifetimes{Access: 15 * time.Minute, Margin: 5 * time.Minute},
	}
}
