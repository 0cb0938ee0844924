package provider

import "time"

// camStreamer follows the API documentation of CamStreamer Cloud, formerly NetRex: every parameter of a token request
// is in the query, commas separate scopes, and an error may have status 200. A client without a secret, or with
// one-time access, gets no refresh token: its grant ends with the access token. If a reply has no lifetime, the
// documented hour applies. Revoking the access token also ends the refresh token.
func camStreamer() Provider {
	return Provider{
		Name:    "camstreamer",
		Title:   "CamStreamer Cloud",
		BaseURL: "https://system2.netrex.cz/oauth2",
		Endpoints: Endpoints{
			Authorize: "/auth/",
			Token:     "/token",
			Revoke:    "/revoke",
		},
		Grant:     AuthorizationCode,
		Login:     Login{Scopes: []string{"read", "write"}, ScopeSeparator: ",", SecretOptional: true},
		Request:   Request{Style: Query, RevokeParameter: "access_token"},
		Lifetimes: Lifetimes{Access: time.Hour, Margin: 10 * time.Minute},
	}
}
