package provider

import "time"

// treatStream is the provider of treats. URLs and lifetimes are those of TreatStream's API documentation: an access
// token lives 30 days, and the reply says so; a refresh token lives 180 days. If a reply does not say, half the
// documented lifetime applies. Existing clients use the form style. Whether a refresh rotates the refresh token is not
// documented, so relay supports both.
func treatStream() Provider {
	const day = 24 * time.Hour
	return Provider{
		Name:  "treatstream",
		Title: "TreatStream",
		Endpoints: Endpoints{ //nolint:gosec // These are addresses of tokens, not tokens.
			Authorize:   "https://treatstream.com/Oauth2/Authorize",
			Token:       "https://treatstream.com/Oauth2/Authorize/token",
			Refresh:     "https://treatstream.com/Oauth2/RefreshToken",
			SocketToken: "https://treatstream.com/Oauth2/Authorize/socketToken",
			History:     "https://treatstream.com/api/getMonthTreats/",
			Socket:      "https://nodeapi.treatstream.com/",
		},
		AppPage:   "https://treatstream.com/api/details",
		Login:     Login{Scopes: []string{"userinfo"}, ScopeInExchange: true},
		Request:   Request{Style: Form},
		Lifetimes: Lifetimes{Access: 15 * day, Refresh: 180 * day, Margin: 3 * day},
	}
}
