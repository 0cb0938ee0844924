package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/intake"
)

// ReconcileFault is what the control socket answers when there is no result. Code is an exit code.
type ReconcileFault struct {
	Error string `json:"error"`
	Code  int    `json:"code"`
}

// Reconcile asks the relay that runs on the data folder. The error is an [ErrNoRelay] if none runs.
func Reconcile(ctx context.Context, dir, account string) (result intake.Reconciliation, err error) {
	resp, err := ask(ctx, dir, http.MethodPost, PathReconcile+"?account="+url.QueryEscape(account))
	if err != nil {
		return result, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	dec := json.NewDecoder(io.LimitReader(resp.Body, 1<<20))
	switch resp.StatusCode {
	case http.StatusOK:
		err = dec.Decode(&result)
	case http.StatusBadGateway:
		var fault ReconcileFault
		if err = dec.Decode(&fault); err == nil {
			return result, exit.With(fault.Code, errors.New(fault.Error))
		}
	default: // an older relay
		return result, exit.With(exit.Unavailable, fmt.Errorf("ask the relay that runs on %s: it answers %s; restart it with this version", dir, resp.Status))
	}
	if err != nil {
		return result, exit.With(exit.Unavailable, fmt.Errorf("ask the relay that runs on %s: %w", dir, err))
	}
	return result, nil
}
