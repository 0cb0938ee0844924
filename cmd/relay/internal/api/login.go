package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Login is a login that waits for the browser.
type Login struct {
	URL     string    `json:"url" jsonschema_description:"to open in a browser"`
	Expires time.Time `json:"expires"`
}

// LoginState is the state of the latest login to an account since relay started.
type LoginState struct {
	State     string `json:"state" jsonschema:"enum=none,enum=waiting,enum=done,enum=failed"`
	Detail    string `json:"detail,omitempty" jsonschema_description:"why it failed, or why the latest reply was refused while it waits"`
	Method    string `json:"method" jsonschema:"enum=browser,enum=token,enum=none" jsonschema_description:"how to log in to this account: in the browser, by pasting a personal token, or not at all"`
	TokenPage string `json:"token_page,omitempty" jsonschema_description:"where the provider issues personal tokens"`
	Hint
}

// The states of a login, and how to log in to an account.
const (
	LoginNone    = "none"
	LoginWaiting = "waiting"
	LoginDone    = "done"
	LoginFailed  = "failed"

	LoginBrowser   = "browser"
	LoginToken     = "token"
	LoginNotNeeded = "none"
)

// PasteRequest has one of the two.
type PasteRequest struct {
	Address string `json:"address,omitempty" jsonschema_description:"the whole address that the browser ended on"`
	Token   string `json:"token,omitempty" jsonschema_description:"a personal token"`
}

// StartLogin starts a login to an account in the browser. If one is under way, it returns that.
func (c *Client) StartLogin(ctx context.Context, account string) (Login, error) {
	return ask[Login](ctx, c, http.MethodPost, loginPath(account), nil, nil)
}

// LoginState returns the state of the latest login to an account.
func (c *Client) LoginState(ctx context.Context, account string) (LoginState, error) {
	return ask[LoginState](ctx, c, http.MethodGet, loginPath(account), nil, nil)
}

// CancelLogin ends a login that waits.
func (c *Client) CancelLogin(ctx context.Context, account string) error {
	_, err := ask[struct{}](ctx, c, http.MethodDelete, loginPath(account), nil, nil)
	return err
}

// PasteLogin passes on the address that the browser ended on, or makes a personal token the login.
func (c *Client) PasteLogin(ctx context.Context, account string, order PasteRequest) (LoginState, error) {
	return ask[LoginState](ctx, c, http.MethodPost, loginPath(account)+"/paste", nil, order)
}

func loginPath(account string) string { return "accounts/" + url.PathEscape(account) + "/login" }

// loginOperations are the operations on logins.
func loginOperations() []Operation {
	const path = "/accounts/{account}/login"
	return []Operation{
		{Method: http.MethodPost, Path: path, Summary: "Start a login in the browser", Answer: Login{}},
		{Method: http.MethodGet, Path: path, Summary: "The state of the latest login", Answer: LoginState{}},
		{Method: http.MethodDelete, Path: path, Summary: "Cancel a login"},
		{Method: http.MethodPost, Path: path + "/paste", Summary: "Pass on the address that the browser ended on, or a personal token", Request: PasteRequest{}, Answer: LoginState{}},
	}
}
