package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/treatrelay/relay/web/overlay"
)

// OverlayList is all overlays of a relay.
type OverlayList struct {
	Stopped  bool      `json:"stopped" jsonschema_description:"no overlay shows anything until somebody starts them"`
	Overlays []Overlay `json:"overlays"`
}

// Overlay is one overlay. While no relay runs, nothing is shown, and no page is open.
type Overlay struct {
	overlay.State
	URL  string       `json:"url,omitempty" jsonschema_description:"of its page, without a key; left out if relay serves no pages"`
	Keys []OverlayKey `json:"keys"`
	// Skipped is only in the answer to a skip.
	Skipped *overlay.Alert `json:"skipped,omitempty" jsonschema_description:"in the answer to a skip: the alert that it took off the screen or dropped; left out: there was none"`
}

// OverlayKey is a key of an overlay without its secret.
type OverlayKey struct {
	ID      string    `json:"id"`
	Account string    `json:"account,omitempty" jsonschema_description:"the only account whose events the key opens; left out: all"`
	Created time.Time `json:"created"`
}

// OverlayOf returns an overlay in the form of the API. base is the URL of the pages, or empty.
func OverlayOf(st *overlay.Stage, base string) Overlay {
	o := Overlay{State: st.State(), Keys: []OverlayKey{}}
	if base != "" {
		o.URL = base + "/overlay/" + st.Name()
	}
	for _, k := range st.Keys() {
		o.Keys = append(o.Keys, OverlayKey{k.ID, k.Account, k.Created})
	}
	return o
}

// KeyRequest asks for a key of an overlay.
type KeyRequest struct {
	Account string `json:"account,omitempty" jsonschema_description:"the only account whose events the key opens; left out: all"`
}

// NewKey is a new key of an overlay. Nothing keeps the key, so it can be read only now.
type NewKey struct {
	Key string `json:"key"`
	ID  string `json:"id"`
	URL string `json:"url" jsonschema_description:"of the overlay's page, with the key"`
	// Warning is for a key of one account, of an overlay that shows others too.
	Warning string `json:"warning,omitempty" jsonschema_description:"why the key opens the events but not the page, and what to do"`
}

// ShowAgainRequest names the treat to show again, by one of the two.
type ShowAgainRequest struct {
	Number uint64 `json:"number,omitempty" jsonschema_description:"in the journal"`
	ID     string `json:"id,omitempty"`
}

// LinkRequest asks for a link that logs in to the dashboard.
type LinkRequest struct {
	Role string `json:"role,omitempty" jsonschema:"enum=owner,enum=moderator" jsonschema_description:"owner if it is left out"`
}

// Link is a link that logs in to the dashboard once.
type Link struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}

// Overlays returns all overlays.
func (c *Client) Overlays(ctx context.Context) (OverlayList, error) {
	return ask[OverlayList](ctx, c, http.MethodGet, "overlays", nil, nil)
}

// NewOverlayKey makes a key of an overlay, and creates the overlay if it does not exist.
func (c *Client) NewOverlayKey(ctx context.Context, name string, order KeyRequest) (NewKey, error) {
	return ask[NewKey](ctx, c, http.MethodPost, overlayPath(name, "keys"), nil, order)
}

// RevokeOverlayKey makes a key of an overlay useless, and closes the pages that it opened.
func (c *Client) RevokeOverlayKey(ctx context.Context, name, id string) error {
	_, err := ask[struct{}](ctx, c, http.MethodDelete, overlayPath(name, "keys/"+url.PathEscape(id)), nil, nil)
	return err
}

// RemoveOverlay removes an overlay that is not in relay.yaml, with its keys.
func (c *Client) RemoveOverlay(ctx context.Context, name string) error {
	_, err := ask[struct{}](ctx, c, http.MethodDelete, "overlays/"+url.PathEscape(name), nil, nil)
	return err
}

// OverlayActions are what can be done to an overlay without more words: the last part of the path of a request, see [Operations].
func OverlayActions() []string {
	return []string{"pause", "resume", "skip", "clear", "mute", "unmute", "reset-counter"}
}

// ControlOverlay does one of [OverlayActions] to an overlay.
func (c *Client) ControlOverlay(ctx context.Context, name, action string) (Overlay, error) {
	return ask[Overlay](ctx, c, http.MethodPost, overlayPath(name, action), nil, nil)
}

// ShowAgain shows a treat of the journal on an overlay again.
func (c *Client) ShowAgain(ctx context.Context, name string, order ShowAgainRequest) (Overlay, error) {
	return ask[Overlay](ctx, c, http.MethodPost, overlayPath(name, "again"), nil, order)
}

// TestOverlay shows an alert that is no treat on an overlay.
func (c *Client) TestOverlay(ctx context.Context, name string, text overlay.Text) (Overlay, error) {
	return ask[Overlay](ctx, c, http.MethodPost, overlayPath(name, "test"), nil, text)
}

// StopOverlays takes every alert off every screen, and keeps them off until StartOverlays.
func (c *Client) StopOverlays(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "overlays/stop", nil, nil)
	return err
}

// StartOverlays ends StopOverlays.
func (c *Client) StartOverlays(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "overlays/start", nil, nil)
	return err
}

// NewLink returns a link that logs in to the dashboard.
func (c *Client) NewLink(ctx context.Context, order LinkRequest) (Link, error) {
	return ask[Link](ctx, c, http.MethodPost, "sessions/links", nil, order)
}

func overlayPath(name, rest string) string { return "overlays/" + url.PathEscape(name) + "/" + rest }

// overlayOperations are the operations on overlays.
func overlayOperations() []Operation {
	const get, post = http.MethodGet, http.MethodPost
	all := []Operation{
		{Method: get, Path: "/overlays", Summary: "The overlays", Answer: OverlayList{}, Role: Moderator},
		{Method: post, Path: "/overlays/stop", Summary: "Take all alerts off the screen, until overlays/start", Role: Moderator},
		{Method: post, Path: "/overlays/start", Summary: "Show alerts again", Role: Moderator},
		{Method: http.MethodDelete, Path: "/overlays/{name}", Summary: "Remove an overlay that is not in relay.yaml, with its keys"},
		{Method: post, Path: "/overlays/{name}/keys", Summary: "Make a key of an overlay, and the overlay if it does not exist", Request: KeyRequest{}, Answer: NewKey{}},
		{Method: http.MethodDelete, Path: "/overlays/{name}/keys/{id}", Summary: "Revoke a key"},
		{Method: post, Path: "/overlays/{name}/again", Summary: "Show a treat again", Request: ShowAgainRequest{}, Answer: Overlay{}, Role: Moderator},
		{Method: post, Path: "/overlays/{name}/test", Summary: "Show an alert that is no treat", Request: overlay.Text{}, Answer: Overlay{}, Role: Moderator},
		{Method: http.MethodPut, Path: "/overlays/{name}/layout", Summary: "Move the box of an overlay", Request: overlay.Layout{}, Answer: Overlay{}},
		{Method: http.MethodDelete, Path: "/overlays/{name}/layout", Summary: "Move it back to the position of the configuration", Answer: Overlay{}},
		{Method: get, Path: "/overlays/{name}/stage", Summary: "What the page of an overlay is told", Params: StageParams(), Stream: true, Role: Reader},
		{Method: post, Path: "/overlays/{name}/shown", Summary: "What the page of an overlay reports", Request: overlay.Report{}, Role: Reader},
		{Method: get, Path: "/overlays/{name}/files/{file}", Summary: "A file of the overlay's folder", File: true, Role: Reader},
	}
	summary := map[string]string{
		"pause": "Keep alerts waiting", "resume": "Show alerts again", "skip": "Take the alert off the screen, or drop the next one",
		"clear": "Drop the alerts that wait, and empty the ticker", "mute": "Silence sound and speech", "unmute": "End the silence", "reset-counter": "Begin the counter of the stream at 0",
	}
	for _, action := range OverlayActions() {
		all = append(all, Operation{Method: post, Path: "/overlays/{name}/" + action, Summary: summary[action], Answer: Overlay{}, Role: Moderator})
	}
	return all
}

// StageParams are the parameters of a page of an overlay.
func StageParams() []Param {
	return []Param{
		{"page", "string", false, "an id of the page, chosen by it at random"},
		{"account", "string", false, "the only account whose events the page may show"},
		{"widget", "string", false, "alerts, ticker or counter, or several with commas, instead of those of the settings"},
		{"speech", "number", false, "1: the page reads alerts aloud, whatever the settings are"},
		{"turn", "number", false, "the turn of the alert that the page shows, if it connects again during one; if the turn is over, the page is told to hide it"},
		{"preview", "number", false, "1: the page shows what others show, and does not count as one"},
	}
}
