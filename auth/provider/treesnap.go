package provider

import "time"

// treeSnap follows TreeSnap's API documentation and the public source of its server. A personal token lives a year and
// is exchanged for the next one while it is valid. The server deletes the old token before it replies, so a lost reply
// means a lost grant, unless the old token turns out to work. Error 1100 means that the token in the header differs
// from the one in the form, for example because a proxy removed the header; it says nothing about the token. Error 1000
// means that the token does not exist; "Unauthenticated." is what its framework says of an unknown token.
func treeSnap() Provider {
	const day = 24 * time.Hour
	return Provider{ //nolint:gosec // These are addresses of tokens, not tokens.
		Name:    "treesnap",
		Title:   "TreeSnap",
		BaseURL: "https://treesnap.org/web-services/v1",
		Endpoints: Endpoints{
			Refresh: "/refresh-tokens",
			Probe:   "/my-observations?per_page=1",
		},
		Grant:                 PersonalToken,
		TokenPage:             "https://treesnap.org/developer",
		Request:               Request{Style: Form},
		Lifetimes:             Lifetimes{Access: 365 * day, Margin: 30 * day},
		Codes:                 Codes{Harmless: []string{"1100"}, Grant: []string{"1000", "unauthenticated"}},
		RefreshConsumesAccess: true,
	}
}
