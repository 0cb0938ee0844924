package provider

import "time"

// camStreamer is CamStreamer Cloud, formerly NetRex, as its API documentation has it: every parameter of a token request
// is in the query, scopes are separated by commas, an error may come with HTTP 200. A client without a secret, or one that was
// given one-time access, gets no refresh token, and its grant ends with the access token. A reply that does not say how
// long that is gets the documented hour. Revoking the access token ends the refresh token too.
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
		Grant:   AuthorizationCode,
		Login:   Login{Scopes: []string{"read", "write"}, ScopeSeparator: ",", SecretOptional: true},
		Request: Request{Style: Query, RevokeParameter: "access_token"},
		Life:    Life{Access: time.Hour, Margin: 10 * time.Minute},
	}
}
