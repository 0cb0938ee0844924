package provider

import "time"

// treeSnap is TreeSnap, as its API documentation and its server's public source have it: a personal token of a year,
// which is exchanged for the next one while it is valid. The old token is deleted before the reply leaves, so a lost
// reply is a lost grant unless the old token turns out to work still. Error 1100 says that the token in the header is not
// the one in the form, as when a proxy took the header away: nothing about the token itself. Error 1000 says that there is
// no such token; "Unauthenticated." is what the framework beneath says of one that it does not know.
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
		Grant:     PersonalToken,
		TokenPage: "https://treesnap.org/developer",
		Request:   Request{Style: Form},
		Life:      Life{Access: 365 * day, Margin: 30 * day},
		Codes:     Codes{Harmless: []string{"1100"}, Grant: []string{"1000", "unauthenticated"}},
		OneShot:   true,
	}
}
