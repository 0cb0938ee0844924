package server

import (
	"context"
	"net/http"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// Logins runs logins to accounts. Its methods are safe for concurrent use.
type Logins interface {
	Start(ctx context.Context, account string) (api.Login, error)
	State(account string) (api.LoginState, error)
	Cancel(ctx context.Context, account string) error
	Paste(ctx context.Context, account string, order *api.PasteRequest) (api.LoginState, error)
}

// onLogins returns a handler that answers with the result of do, or with no content if that is nil.
func (s *server) onLogins(do func(ctx context.Context, account string, w http.ResponseWriter, r *http.Request) (any, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.Logins == nil {
			return notRunning()
		}
		v, err := do(r.Context(), r.PathValue("account"), w, r)
		switch {
		case err != nil:
			return err
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return answer(w, v)
	}
}

// loginHandlers are those of the operations on logins.
func (s *server) loginHandlers() map[string]handler {
	const path = " /accounts/{account}/login"
	return map[string]handler{
		"POST" + path: s.onLogins(func(ctx context.Context, account string, _ http.ResponseWriter, _ *http.Request) (any, error) {
			return s.Logins.Start(ctx, account)
		}),
		"GET" + path: s.onLogins(func(_ context.Context, account string, _ http.ResponseWriter, _ *http.Request) (any, error) {
			return s.Logins.State(account)
		}),
		"DELETE" + path: s.onLogins(func(ctx context.Context, account string, _ http.ResponseWriter, _ *http.Request) (any, error) {
			return nil, s.Logins.Cancel(ctx, account)
		}),
		"POST" + path + "/paste": s.onLogins(func(ctx context.Context, account string, w http.ResponseWriter, r *http.Request) (any, error) {
			var order api.PasteRequest
			if err := body(w, r, &order); err != nil {
				return nil, err
			}
			return s.Logins.Paste(ctx, account, &order)
		}),
	}
}
